"""Causal, dilated 1D convolution with normalised weights.

Source: Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate training of deep neural
networks", NeurIPS 2016; causal and dilated as in Bai, Kolter, Koltun, arXiv:1803.01271, 2018.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


class WeightNormalisedCausalConvolution(keras.layers.Layer):
    """A convolution over time whose output at t sees the inputs t, t − dilation, …, t − (kernel_size − 1) dilation only.

    The kernel of each filter is gain · direction / ‖direction‖: its length is a weight of its own. The gains begin as √2, so
    that the kernels have the variance 2 / fan-in of He et al. 2015, whatever the directions are.

    Arguments:
        filters: number of output channels.
        kernel_size: how many steps a filter sees.
        dilation_rate: the distance between them, in steps.
        **options: of `keras.layers.Layer`.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, filters: int, kernel_size: int, *, dilation_rate: int = 1, **options: Any) -> None:
        super().__init__(**options)
        for name, value in (("filters", filters), ("kernel_size", kernel_size), ("dilation_rate", dilation_rate)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1. Got {value!r}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights `direction`, `gain` and `bias`."""
        # The norm is computed in full precision also under mixed precision: the squares of small weights would vanish.
        self.direction = self.add_weight(shape=(self.kernel_size, input_shape[-1], self.filters), initializer="he_normal",
                                         autocast=False, name="direction")
        self.gain = self.add_weight(shape=(self.filters,), initializer=keras.initializers.Constant(math.sqrt(2)),
                                    autocast=False, name="gain")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """`[batch, time, channels]` to `[batch, time, filters]`."""
        norm = ops.sqrt(ops.sum(ops.square(self.direction), axis=(0, 1)))
        kernel = ops.cast(self.direction * (self.gain / norm), self.compute_dtype)
        before = (self.kernel_size - 1) * self.dilation_rate
        padded = ops.pad(inputs, [[0, 0], [before, 0], [0, 0]])
        return ops.conv(padded, kernel, padding="valid", dilation_rate=self.dilation_rate) + self.bias
