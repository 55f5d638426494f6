"""Wasserstein generative adversarial network for small images: a generator, and a critic that tells its images from real ones.

Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, with dense layers, for images of some hundred pixels.
Losses: `model_zoo.losses.wasserstein`, for a `train_step`: the generator and the critic have losses of their own.
Parameters: 51,904 for images of 8 × 8 pixels and 1 channel, a latent vector of 16 and the default hparams.

The standard normal vector `latent` is an input of the network instead of being drawn within, so that a training repeats exactly
and a client sends the points that it wants to see. One that only generates sends any image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from model_zoo.checked_hparams import whole_number
from model_zoo.image_and_latent import checked_image_and_latent

GENERATOR, CRITIC = "generator", "critic"


@keras.saving.register_keras_serializable(package="model_zoo")
class RandomInterpolation(keras.layers.Layer):
    """Draws for each sample a point on the way between two tensors of one shape, evenly; the middle unless training.

    Its random generator is a state of the network, so that a restart goes on exactly.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: tuple[Any, Any], training: bool = False) -> Any:
        """Mixes each pair of images: by random shares in training, by halves otherwise."""
        one, other = inputs
        share = 0.5
        if training:
            shape = (keras.ops.shape(one)[0], *(1 for _ in one.shape[1:]))
            share = keras.random.uniform(shape, dtype=one.dtype, seed=self.seed_generator)
        return share * one + (1 - share) * other

    def compute_output_shape(self, input_shape: tuple[tuple[int | None, ...], ...]) -> tuple[int | None, ...]:
        """Returns the shape of the first image."""
        return input_shape[0]


def model(data: Mapping[str, keras.KerasTensor], hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network; its sub-models are named 'generator' and 'critic', as the optimizers are.

    Arguments:
        data: `image`: float32 `[batch, height, width, channels]`, the sizes known, values in 0 … 1; `latent`: float32
            `[batch, latent size]`, drawn from the standard normal distribution.
        hparams: `hiddenNeurons` (of each of the two hidden layers, 128).

    Returns:
        `generated`: the images made of `latent`, in 0 … 1; `interpolated`: images between the real and the generated ones; both
        of the image's shape; `image_score`, `generated_score`, `interpolated_score`: what the critic gives them, `[batch]`, the
        higher the more real.

    Raises:
        ValueError: an input is missing or of unknown size, or a hyperparameter is no whole number above 0.
    """
    image, latent = checked_image_and_latent(data)
    shape, neurons = tuple(image.shape[1:]), whole_number(hparams, "hiddenNeurons", 128)
    generator = keras.Sequential([
        keras.Input([latent.shape[-1]]), keras.layers.Dense(neurons, activation="relu"),
        keras.layers.Dense(neurons, activation="relu"),
        keras.layers.Dense(math.prod(shape), activation="sigmoid", dtype="float32"),
        keras.layers.Reshape(shape, dtype="float32")], name=GENERATOR)
    critic = keras.Sequential([
        keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(neurons), keras.layers.LeakyReLU(),
        keras.layers.Dense(neurons), keras.layers.LeakyReLU(),
        keras.layers.Dense(1, use_bias=False, dtype="float32"), keras.layers.Reshape((), dtype="float32")], name=CRITIC)
    generated = generator(latent)
    interpolated = RandomInterpolation(name="interpolation", dtype="float32")([image, generated])
    return {"generated": generated, "interpolated": interpolated, "image_score": critic(image),
            "generated_score": critic(generated), "interpolated_score": critic(interpolated)}
