"""Temporal convolutional network: causal, dilated residual convolutions over a sequence.

Source: Bai, Kolter, Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
arXiv:1803.01271, 2018.
Parameters: with c channels, f filters, kernel size k, L levels and n outputs, (k c + k f + 4) f for the first level, (c + 1) f
more if c ≠ f, (L − 1)(2 k f + 4) f for the others, and (f + 1) n: 70,369 for the paper's adding problem over 600 steps (c = 2,
f = 24, k = 8, L = 8, n = 1), where it says about 70,000.
Receptive field: 1 + 2 (k − 1)(2^L − 1) steps.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import choice, number_of_outputs, real_number, whole_number
from model_zoo.layers.weight_normalised_causal_convolution import WeightNormalisedCausalConvolution


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, time, channels]`; sequences of any length, which may differ from batch to batch.
        n_outputs: number of outputs of a step.
        hparams: `filters` (32), `kernel_size` (3), `levels` (residual blocks, each with twice the dilation of the one
            before, 5), `dropout` (fraction of the channels dropped after each convolution, 0.1), `predict_steps` ('last':
            one prediction a sequence, or 'all': one for each step, from what came up to it).

    Returns:
        `code`: features of the last step, `[batch, filters]`; `prediction`: linear, `[batch, n_outputs]`, or
        `[batch, time, n_outputs]` for all steps.

    Raises:
        ValueError: `data` is not of rank 3, or a hyperparameter is out of its range.
    """
    if len(data.shape) != 3:
        raise ValueError(f"data must be [batch, time, channels]. Got the shape {data.shape}. "
                         "Add a channel in data_preprocess, e.g. by features[..., None].")
    number_of_outputs(n_outputs)
    filters, kernel_size = whole_number(hparams, "filters", 32), whole_number(hparams, "kernel_size", 3, least=2)
    dropout = real_number(hparams, "dropout", 0.1, least=0, below=1)
    predict_steps = choice(hparams, "predict_steps", "last", choices=("last", "all"))
    features = data
    for level in range(whole_number(hparams, "levels", 5)):
        features = _residual_block(features, filters=filters, kernel_size=kernel_size, dilation=2 ** level, dropout=dropout,
                                   name=f"level_{level + 1}")
    code = features[:, -1]
    prediction = keras.layers.Dense(n_outputs, name="prediction")(features if predict_steps == "all" else code)
    return {"code": code, "prediction": prediction}


def receptive_field(*, kernel_size: int, levels: int) -> int:
    """Returns the number of steps on which a prediction can depend, its own included; what came before them makes no difference."""
    return 1 + 2 * (kernel_size - 1) * (2 ** levels - 1)


def _residual_block(data: keras.KerasTensor, *, filters: int, kernel_size: int, dilation: int, dropout: float,
                    name: str) -> keras.KerasTensor:
    features = data
    for part in (1, 2):
        features = WeightNormalisedCausalConvolution(filters, kernel_size, dilation_rate=dilation,
                                                     name=f"{name}_convolution_{part}")(features)
        features = keras.layers.Activation("relu", name=f"{name}_activation_{part}")(features)
        features = keras.layers.SpatialDropout1D(dropout, name=f"{name}_dropout_{part}")(features)
    if data.shape[-1] != filters:
        data = keras.layers.Conv1D(filters, 1, name=f"{name}_shortcut")(data)
    features = keras.layers.Add(name=f"{name}_sum")([data, features])
    return keras.layers.Activation("relu", name=f"{name}_output")(features)
