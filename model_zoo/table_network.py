"""Network for rows of a table: a linear model beside a multi-layer perceptron, whose categories of many values are embedded.

Source: Cheng et al., "Wide & Deep Learning for Recommender Systems", arXiv:1606.07792, 2016; embeddings of categories: Guo,
Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737, 2016.
Parameters: with d values, e = min(embeddingSize, places) for each embedded category of c places, D = d + Σ e, h units in each of
l hidden layers and n outputs, Σ c e + (D + 1) h + (l − 1)(h + 1) h + (h + 1) n + D n.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import real_number, whole_number


def model(data: keras.KerasTensor | dict[str, keras.KerasTensor], n_outputs: int, hparams: dict[str, Any]
          ) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: what the preprocessing of `DataProvider_input_pipeline.table` gives: float32 `[batch, values]`, or a dict with
            these as `values` and one-hot `category_<name>` `[batch, places]`, each of which is embedded.
        n_outputs: number of outputs.
        hparams: `hiddenNeurons` (units of a hidden layer, 64), `hiddenLayers` (their number, 2), `embeddingSize` (numbers that
            stand for a category, 8), `dropout` (fraction of hidden units, 0.0).

    Returns:
        `code`: the last hidden layer, `[batch, hiddenNeurons]`; `prediction`: `[batch, n_outputs]`, linear.
    """
    num_units, num_layers = whole_number(hparams, "hiddenNeurons", 64), whole_number(hparams, "hiddenLayers", 2)
    embedding_size, dropout = whole_number(hparams, "embeddingSize", 8), real_number(hparams, "dropout", 0.0, least=0, below=1)
    parts = data if isinstance(data, dict) else {"values": data}
    # A matrix without bias times a one-hot row is an embedding, and gives zeros for a category that is not known.
    features = [keras.layers.Dense(min(embedding_size, part.shape[-1]), use_bias=False, name=f"embedded_{name}")(part)
                if name.startswith("category_") else part for name, part in parts.items()]
    joined = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
    hidden = joined
    for layer in range(num_layers):
        hidden = keras.layers.Dense(num_units, activation="relu", name=f"hidden_{layer + 1}")(hidden)
        if dropout:
            hidden = keras.layers.Dropout(dropout, name=f"dropout_{layer + 1}")(hidden)
    deep = keras.layers.Dense(n_outputs, name="deep")(hidden)
    linear = keras.layers.Dense(n_outputs, use_bias=False, name="linear")(joined)
    return {"code": hidden, "prediction": keras.layers.Add(name="prediction")([deep, linear])}
