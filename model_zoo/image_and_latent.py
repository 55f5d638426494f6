"""Checks the two inputs of the generators of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def checked_image_and_latent(data: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The inputs `image` `[batch, height, width, channels]`, its sizes known, and `latent` `[batch, latent size]`.

    Raises:
        ValueError: one is missing, or of unknown size.
    """
    if not isinstance(data, Mapping) or not {"image", "latent"} <= data.keys():
        got = sorted(data) if isinstance(data, Mapping) else type(data).__name__
        raise ValueError(f"data must be a dict with 'image' and 'latent', as the dataset's features. Got {got}.")
    image, latent = data["image"], data["latent"]
    if len(image.shape) != 4 or None in image.shape[1:]:
        raise ValueError("data['image'] must be [batch, height, width, channels] with known sizes. "
                         f"Got {image.shape}. Resize or crop the images to one size.")
    if len(latent.shape) != 2 or latent.shape[-1] is None:
        raise ValueError(f"data['latent'] must be [batch, latent size] with a known size. Got {latent.shape}.")
    return image, latent
