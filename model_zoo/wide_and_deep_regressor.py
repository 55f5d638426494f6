"""Ready-made regressor for tables: a linear model on columns and crossed columns, and a network on embeddings.

Source: Cheng et al., "Wide & deep learning for recommender systems", DLRS 2016, with a linear output.
Parameters: as of `wide_and_deep_classifier`, for n outputs.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.layers.wide_and_deep import wide_and_deep


def model(data: keras.KerasTensor | dict[str, keras.KerasTensor], n_outputs: int,
          hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: the columns, as for `wide_and_deep_classifier`.
        n_outputs: number of values to predict.
        hparams: as for `wide_and_deep_classifier`.

    Returns:
        `prediction`: `[batch, n_outputs]`, linear; `code`: the last hidden layer, `[batch, hiddenNeurons]`, absent without
        the deep part.

    Raises:
        ValueError: a hyperparameter or a column is not as it must be.
    """
    prediction, hidden = wide_and_deep(data, n_outputs, hparams)
    return {"prediction": prediction} if hidden is None else {"code": hidden, "prediction": prediction}
