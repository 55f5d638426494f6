"""Fully convolutional DenseNet ("Tiramisu") for the segmentation of images, in its three sizes of 56, 67 and 103 layers.

Source: Jégou, Drozdzal, Vazquez, Romero, Bengio, "The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for
Semantic Segmentation", CVPR workshops 2017, tables 1 and 2.
Parameters, for 3 channels and 11 classes (CamVid):

| layers | trainable | with the running means and variances | paper |
| --- | --- | --- | --- |
| 56 | 1,376,795 | 1,397,963 | 1.5 M |
| 67 | 3,463,243 | 3,502,923 | 3.5 M |
| 103 | 9,322,091 | 9,425,163 | 9.4 M |

The authors' own program counts all variables, the last but one column. Their 1.5 M for 56 layers does not follow from the
paper's description (growth rate 12, 4 layers in each of 11 blocks), the other two do.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import number_of_outputs, real_number, whole_number
from model_zoo.layers.cropping import CropToSizeOf

_MOMENTUM = 0.9  # Keras' 0.99 takes hundreds of steps to forget the first ones: whole epochs of a small dataset
_INITIALIZER = "he_uniform"
_DEPTH = 5
# Layers of the dense blocks on the way down and of the lowest one, and the growth rate.
_SIZES = {56: ((4, 4, 4, 4, 4, 4), 12), 67: ((5, 5, 5, 5, 5, 5), 16), 103: ((4, 5, 7, 10, 12, 15), 16)}


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, height, width, channels]`; height and width may be None.
        n_outputs: number of classes.
        hparams: `layers` (56, 67 or 103; 56), `growth_rate` (features that a layer adds; 12 for 56 layers, else 16),
            `depth` (number of poolings, 1 to 5, 5; with fewer the lower dense blocks are left out), `filters` (of the
            first convolution, 48), `dropout` (fraction dropped behind each convolution, 0.2).

    Returns:
        `code`: the features that the lowest dense block adds, averaged over space, `[batch, growth_rate · its layers]`;
        `logits`: `[batch, height, width, n_outputs]`, before the softmax.

    Raises:
        ValueError: the data has another rank, or a hyperparameter is out of its range.
    """
    if len(data.shape) != 4:
        raise ValueError(f"data must be [batch, height, width, channels]. Got the shape {data.shape}.")
    blocks, growth_rate, depth = _size(hparams)
    filters = whole_number(hparams, "filters", 48)
    dropout = real_number(hparams, "dropout", 0.2, least=0.0, below=1.0)
    num_classes = number_of_outputs(n_outputs, meaning="classes")

    stack = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=_INITIALIZER, name="first_convolution")(data)
    skips = []
    for level in range(depth):
        added = _dense_block(stack, num_layers=blocks[level], growth_rate=growth_rate, dropout=dropout, name=f"down_{level}")
        skips.append(_stacked([stack, *added], name=f"down_{level}_stack"))
        stack = _transition_down(skips[-1], dropout=dropout, name=f"transition_down_{level}")
    added = _dense_block(stack, num_layers=blocks[depth], growth_rate=growth_rate, dropout=dropout, name="lowest")
    lowest = _stacked(added, name="lowest_stack")
    for level in reversed(range(depth)):
        stack = _transition_up(_stacked(added, name=f"transition_up_{level}_stack"), skips[level],
                               name=f"transition_up_{level}")
        added = _dense_block(stack, num_layers=blocks[level], growth_rate=growth_rate, dropout=dropout, name=f"up_{level}")
    stack = _stacked([stack, *added], name="last_stack")
    return {"code": keras.layers.GlobalAveragePooling2D(name="code")(lowest),
            "logits": keras.layers.Conv2D(num_classes, 1, kernel_initializer=_INITIALIZER, name="logits")(stack)}


def _size(hparams: dict[str, Any]) -> tuple[tuple[int, ...], int, int]:
    """The layers of the dense blocks from the first to the lowest, the growth rate, and the number of poolings."""
    layers, depth = whole_number(hparams, "layers", 56), whole_number(hparams, "depth", _DEPTH)
    if layers not in _SIZES:
        raise ValueError(f"hparams['layers'] must be one of {', '.join(map(str, _SIZES))}. Got {layers!r}. "
                         "Change it in the settings file.")
    if depth > _DEPTH:
        raise ValueError(f"hparams['depth'] must be at most {_DEPTH}. Got {depth!r}. Change it in the settings file.")
    blocks, growth_rate = _SIZES[layers]
    return blocks, whole_number(hparams, "growth_rate", growth_rate), depth


def _dense_block(stack: keras.KerasTensor, *, num_layers: int, growth_rate: int, dropout: float,
                 name: str) -> list[keras.KerasTensor]:
    """Returns the features that the layers add, each seeing the block's input and what the layers before it have added."""
    added: list[keras.KerasTensor] = []
    for index in range(num_layers):
        seen = _stacked([stack, *added], name=f"{name}_layer_{index}_stack")
        added.append(_layer(seen, filters=growth_rate, width=3, dropout=dropout, name=f"{name}_layer_{index}"))
    return added


def _layer(data: keras.KerasTensor, *, filters: int, width: int, dropout: float, name: str) -> keras.KerasTensor:
    features = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_normalisation")(data)
    features = keras.layers.Activation("relu", name=f"{name}_activation")(features)
    features = keras.layers.Conv2D(filters, width, padding="same", kernel_initializer=_INITIALIZER, name=name)(features)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(features)


def _transition_down(stack: keras.KerasTensor, *, dropout: float, name: str) -> keras.KerasTensor:
    features = _layer(stack, filters=stack.shape[-1], width=1, dropout=dropout, name=name)
    return keras.layers.MaxPooling2D(2, padding="same", name=f"{name}_pooling")(features)


def _transition_up(features: keras.KerasTensor, skip: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Doubles the resolution of what the block below has added, without that block's input, and appends the skip."""
    features = keras.layers.Conv2DTranspose(features.shape[-1], 3, strides=2, padding="same",
                                            kernel_initializer=_INITIALIZER, name=name)(features)
    features = CropToSizeOf(name=f"{name}_crop")([features, skip])
    return _stacked([features, skip], name=f"{name}_skip")


def _stacked(tensors: list[keras.KerasTensor], *, name: str) -> keras.KerasTensor:
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]
