"""Small convolutional classifier for small images.

Source: the plain scheme of LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998,
with the batch normalisation of Ioffe and Szegedy, 2015, and global average pooling, so that images of any size fit.
Parameters: 65,834 trainable for 1 channel, 32 filters and 10 classes.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import real_number, whole_number

_MOMENTUM = 0.9  # Keras' 0.99 takes hundreds of steps to forget the first ones: whole epochs of a small dataset


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, height, width, channels]`, at least 4 × 4 pixels.
        n_outputs: number of classes.
        hparams: `filters` (of the first convolution, 32), `dropout` (fraction dropped before the output, 0.3).

    Returns:
        `code`: the pooled features, `[batch, 2 · filters]`; `logits`: `[batch, n_outputs]`, before the softmax.
    """
    filters, dropout = whole_number(hparams, "filters", 32), real_number(hparams, "dropout", 0.3, least=0.0, below=1.0)
    features = _convolution(data, filters=filters, name="convolution_1")
    features = _convolution(features, filters=filters, name="convolution_2")
    features = keras.layers.MaxPooling2D(name="pooling")(features)
    features = _convolution(features, filters=2 * filters, name="convolution_3")
    features = _convolution(features, filters=2 * filters, name="convolution_4")
    code = keras.layers.GlobalAveragePooling2D(name="code")(features)
    dropped = keras.layers.Dropout(dropout, name="dropout")(code)
    return {"code": code, "logits": keras.layers.Dense(n_outputs, name="logits")(dropped)}


def _convolution(data: keras.KerasTensor, *, filters: int, name: str) -> keras.KerasTensor:
    features = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(data)
    features = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_normalisation")(features)
    return keras.layers.Activation("relu", name=f"{name}_activation")(features)
