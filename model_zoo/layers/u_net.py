"""The U-Net in two or three dimensions, which `unet_2d` and `unet_3d` parametrise as their papers do."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from model_zoo.checked_hparams import number_of_outputs
from model_zoo.layers.cropping import CropToSizeOf

_MOMENTUM = 0.9  # Keras' 0.99 takes hundreds of steps to forget the first ones: whole epochs of a small dataset
_LAYERS = {
    2: (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.MaxPooling2D, keras.layers.GlobalAveragePooling2D),
    3: (keras.layers.Conv3D, keras.layers.Conv3DTranspose, keras.layers.MaxPooling3D, keras.layers.GlobalAveragePooling3D),
}


def u_net(data: keras.KerasTensor, n_outputs: int, *, num_dimensions: int, level_filters: Sequence[tuple[int, int]],
          up_filters: Sequence[int], dropout: float) -> dict[str, keras.KerasTensor]:
    """Builds the network: two convolutions a level, pooling down, transposed convolutions up, skip connections between.

    Arguments:
        data: `[batch, height, width, channels]` or `[batch, depth, height, width, channels]`; sizes may be None.
        n_outputs: number of classes.
        num_dimensions: of the space, 2 or 3.
        level_filters: filters of the two convolutions on the way down, a pair a level, the full resolution first. On the
            way up both have as many as the second.
        up_filters: filters of the transposed convolution that leads up to each level but the lowest.
        dropout: fraction of the lowest level's features dropped in training.

    Returns:
        `code`: the lowest level averaged over space, `[batch, filters]`; `logits`: `[batch, …, n_outputs]`.

    Raises:
        ValueError: the data has another rank, or `n_outputs` is no whole number.
    """
    if len(data.shape) != num_dimensions + 2:
        raise ValueError(f"data must have {num_dimensions} axes of space between those of the batch and of the channels. "
                         f"Got the shape {data.shape}.")
    num_classes = number_of_outputs(n_outputs, meaning="classes")
    convolution, transposed_convolution, pooling, average = _LAYERS[num_dimensions]
    features, skips = data, []
    for level, filters in enumerate(level_filters):
        if level:
            features = pooling(2, padding="same", name=f"pooling_{level}")(features)
        for index, number in enumerate(filters, start=1):
            features = _convolution(convolution, features, filters=number, name=f"down_{level}_convolution_{index}")
        skips.append(features)
    features = keras.layers.Dropout(dropout, name="dropout")(skips.pop())
    code = average(name="code")(features)
    for level in reversed(range(len(skips))):
        features = transposed_convolution(up_filters[level], 2, strides=2, use_bias=False, name=f"up_{level}")(features)
        features = CropToSizeOf(name=f"up_{level}_crop")([features, skips[level]])
        features = keras.layers.Concatenate(name=f"up_{level}_skip")([skips[level], features])
        for index in (1, 2):
            features = _convolution(convolution, features, filters=level_filters[level][1],
                                    name=f"up_{level}_convolution_{index}")
    return {"code": code, "logits": convolution(num_classes, 1, name="logits")(features)}


def _convolution(kind: type[keras.layers.Layer], data: keras.KerasTensor, *, filters: int, name: str) -> keras.KerasTensor:
    """Convolution of width 3, batch normalisation and ReLU."""
    features = kind(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(data)
    # No scale: before a ReLU the next convolution can take it over; what is left is as many parameters as a bias has.
    features = keras.layers.BatchNormalization(momentum=_MOMENTUM, scale=False, name=f"{name}_normalisation")(features)
    return keras.layers.Activation("relu", name=f"{name}_activation")(features)
