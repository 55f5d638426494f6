"""Multi-layer perceptron on vectors.

Source: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
Parameters: with d inputs, h units in each of l hidden layers and n outputs, (d + 1) h + (l − 1)(h + 1) h + (h + 1) n.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import whole_number


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, num_inputs]`.
        n_outputs: number of outputs.
        hparams: `hiddenNeurons` (units of a hidden layer, 32), `hiddenLayers` (their number, 2).

    Returns:
        `code`: the last hidden layer, `[batch, hiddenNeurons]`; `prediction`: `[batch, n_outputs]`, linear.
    """
    num_units, num_layers = whole_number(hparams, "hiddenNeurons", 32), whole_number(hparams, "hiddenLayers", 2)
    hidden = data
    for layer in range(num_layers):
        hidden = keras.layers.Dense(num_units, activation="relu", name=f"hidden_{layer + 1}")(hidden)
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs, name="prediction")(hidden)}
