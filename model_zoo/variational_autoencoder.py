"""Variational autoencoder for images: a generator, and a code in which similar images lie close together.

Source: Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, section 3, with convolutions.
Loss: `model_zoo.losses.evidence_lower_bound`.
Parameters: 212,497 for images of 8 × 8 pixels and 1 channel, a latent vector of 8 and the default hparams.

The standard normal vector `latent` is an input of the network instead of being drawn within. The dataset draws it, for
instance by `with_seeds` and `tf.random.stateless_normal`, so that a training repeats exactly; a client sends the points
that it wants to see: `generated` is what the decoder makes of them, and zeros make `reconstruction` that of the code
itself. A client that only generates sends any image; one that only encodes sends zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from model_zoo.checked_hparams import whole_number
from model_zoo.image_and_latent import checked_image_and_latent


def model(data: Mapping[str, keras.KerasTensor], hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: `image`: float32 `[batch, height, width, channels]`, the sizes known, values in 0 … 1 for the Bernoulli
            likelihood; `latent`: float32 `[batch, latent size]`, drawn from the standard normal distribution.
        hparams: `filters` (of the first convolution, doubled at each further one, 32), `depth` (number of convolutions,
            each halving the size, 2), `hiddenNeurons` (between the convolutions and the code, 256).

    Returns:
        `code`: the mean of the code's distribution given the image, `[batch, latent size]`; `code_log_variance`: the
        logarithm of its variance, of that shape; `reconstruction`: the decoded `code + standard deviation · latent`, of
        the image's shape, before the sigmoid; `generated`: the decoded `latent`, likewise.

    Raises:
        ValueError: an input is missing or of unknown size, or a hyperparameter is no whole number above 0.
    """
    image, latent = checked_image_and_latent(data)
    first, neurons = whole_number(hparams, "filters", 32), whole_number(hparams, "hiddenNeurons", 256)
    all_filters = [first * 2**level for level in range(whole_number(hparams, "depth", 2))]
    features = image
    for level, number in enumerate(all_filters):
        features = keras.layers.Conv2D(number, 3, strides=2, padding="same", activation="relu",
                                       name=f"encoder_convolution_{level}")(features)
    features = keras.layers.Flatten(name="encoder_flat")(features)
    features = keras.layers.Dense(neurons, activation="relu", name="encoder_hidden")(features)
    # In full precision even when the rest is not: the loss takes the exponential of one of them.
    code = keras.layers.Dense(latent.shape[-1], dtype="float32", name="code")(features)
    log_variance = keras.layers.Dense(latent.shape[-1], dtype="float32", name="code_log_variance")(features)
    sampled = code + keras.ops.exp(0.5 * log_variance) * latent
    decoder = _decoder(tuple(image.shape[1:]), latent_size=latent.shape[-1], all_filters=all_filters, neurons=neurons)
    return {"code": code, "code_log_variance": log_variance, "reconstruction": decoder(sampled), "generated": decoder(latent)}


def _decoder(image_shape: tuple[int, ...], *, latent_size: int, all_filters: list[int], neurons: int) -> keras.Sequential:
    """The way back from a latent vector to an image; without normalisation, since it decodes two kinds of vectors at once."""
    sizes = [image_shape[:2]]
    for _ in all_filters:
        sizes.append(tuple((size + 1) // 2 for size in sizes[-1]))
    height, width = sizes[-1]
    layers = [keras.layers.Dense(neurons, activation="relu", name="hidden"),
              keras.layers.Dense(height * width * all_filters[-1], activation="relu", name="features"),
              keras.layers.Reshape((height, width, all_filters[-1]), name="map")]
    for level in reversed(range(len(all_filters))):
        height, width = sizes[level]
        layers += [keras.layers.Conv2DTranspose(all_filters[level], 3, strides=2, padding="same", activation="relu",
                                                name=f"convolution_{level}"),
                   keras.layers.Cropping2D(((0, height % 2), (0, width % 2)), name=f"crop_{level}")]
    layers.append(keras.layers.Conv2D(image_shape[-1], 3, padding="same", name="image"))
    return keras.Sequential([keras.Input([latent_size]), *layers], name="decoder")
