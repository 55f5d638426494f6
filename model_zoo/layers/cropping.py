"""Layer that crops features to the size of others, so that networks with skip connections take images of any size."""

from __future__ import annotations

from typing import Any

import keras


class CropToSizeOf(keras.layers.Layer):
    """Cuts off the end of each spatial axis of the first tensor, `[batch, …, channels]`, where the second one is smaller.

    Pooling with padding 'same' halves a size and rounds up, upsampling doubles it: for a size that is no multiple of
    2^depth there is then one pixel too many, which has no counterpart in the skip connection. Sizes may be unknown until
    the network runs.
    """

    def call(self, inputs: list[Any]) -> Any:
        """Crops `inputs[0]` to the spatial size of `inputs[1]`."""
        features, reference = inputs
        sizes = keras.ops.shape(reference)[1:-1]
        return features[(slice(None), *(slice(0, size) for size in sizes))]

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Returns the features' shape with the reference's height and width."""
        features, reference = input_shape
        return (features[0], *reference[1:-1], features[-1])
