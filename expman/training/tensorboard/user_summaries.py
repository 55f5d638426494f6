"""Checks what `get_validation_summaries` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from expman.errors import UserCodeError
from expman.settings.loading import Settings

_FUNCTION = "get_validation_summaries"
_IMAGE_CHANNELS = (1, 2, 3, 4, None)


def checked_summaries(settings: Settings, returned: Any) -> dict[str, tf.Tensor]:
    """The tensors by tag.

    Raises:
        UserCodeError: the function returned no dict of numeric tensors; the list of summaries that TensorFlow 1 took, alone
            or with a number, among them.
    """
    place = settings.place_of(_FUNCTION)
    if not isinstance(returned, Mapping):
        raise UserCodeError(f"{place}: {_FUNCTION} must return a dict from tags to tensors, e.g. {{'images': inputs}}. Got "
                            f"{type(returned).__name__}. Lists of TensorFlow 1's summaries no longer exist: return the tensors.")
    try:
        tensors = {str(tag): tf.convert_to_tensor(value) for tag, value in returned.items()}
    except (TypeError, ValueError) as error:
        raise UserCodeError(f"{place}: {_FUNCTION} must return a dict from tags to tensors: {error}") from error
    for tag, tensor in tensors.items():
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
            raise UserCodeError(f"{place}: {_FUNCTION} must return numbers. '{tag}' has dtype {tensor.dtype.name}.")
        if tensor.shape.rank == 4 and tensor.shape[-1] not in _IMAGE_CHANNELS:
            raise UserCodeError(f"{place}: {_FUNCTION}: '{tag}' has rank 4 and is drawn as images, so its last dimension must "
                                f"be 1 (grey), 3 (RGB) or 4. Got shape {tensor.shape}. Choose a channel, e.g. by [..., :1].")
    return {tag: tf.cast(tensor, tf.float32) if tensor.dtype.is_bool else tensor for tag, tensor in tensors.items()}
