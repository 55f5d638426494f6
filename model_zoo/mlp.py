"""Multi-layer perceptron on vectors.

Source: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
Parameters: with d inputs, h units in each of l hidden layers and n outputs, (d + 1) h + (l − 1)(h + 1) h + (h + 1) n.
"""

from __future__ import annotations

from typing import Any

import keras


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, num_inputs]`.
        n_outputs: number of outputs.
        hparams: `hiddenNeurons` (units of a hidden layer, 32), `hiddenLayers` (their number, 2).

    Returns:
        `code`: the last hidden layer, `[batch, hiddenNeurons]`; `prediction`: `[batch, n_outputs]`, linear.
    """
    hidden = data
    for layer in range(hparams.get("hiddenLayers", 2)):
        hidden = keras.layers.Dense(hparams.get("hiddenNeurons", 32), activation="relu", name=f"hidden_{layer + 1}")(hidden)
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs, name="prediction")(hidden)}
