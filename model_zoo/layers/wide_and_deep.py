"""Parts of the wide-and-deep classifier and regressor: a linear model and a network on embeddings, added up.

Source: Cheng et al., "Wide & deep learning for recommender systems", DLRS 2016. The paper trains the wide part by FTRL and
the deep one by AdaGrad; here one optimizer trains both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from model_zoo.checked_hparams import choice, number_of_outputs, real_number, whole_number
from model_zoo.layers.tabular_columns import Columns, cross, read_columns

PARTS = ("wide_and_deep", "wide", "deep")


def wide_and_deep(data: keras.KerasTensor | Mapping[str, keras.KerasTensor], n_outputs: int,
                  hparams: Mapping[str, Any]) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """Builds both parts on the columns of a table.

    Arguments:
        data: see `read_columns`.
        n_outputs: number of outputs.
        hparams: those of the classifier and the regressor.

    Returns:
        The sum of both parts, linear, `[batch, n_outputs]`; the last hidden layer, `[batch, hiddenNeurons]`, or None without
        the deep part.

    Raises:
        ValueError: a hyperparameter or a column is not as it must be.
    """
    number_of_outputs(n_outputs)
    parts = choice(hparams, "parts", PARTS[0], choices=PARTS)
    crosses = hparams.get("crosses", "")
    if not isinstance(crosses, str):
        raise ValueError(f"hparams['crosses'] must be a str such as 'education*occupation'. Got {crosses!r}.")
    columns = read_columns(data, hparams)
    crossed = cross(columns, crosses)
    if crossed and parts == "deep":
        raise ValueError("hparams['crosses'] belongs to the wide part, which parts = 'deep' leaves out. Remove one of both.")
    summands, hidden = [], None
    if parts != "deep":
        summands += _wide(columns, crossed, n_outputs=n_outputs, hparams=hparams)
    if parts != "wide":
        hidden = _hidden(columns, hparams)
        summands.append(keras.layers.Dense(n_outputs, use_bias=False, name="deep")(hidden))
    total = keras.layers.Add(name="sum")(summands) if len(summands) > 1 else summands[0]
    return _Bias(name="bias")(total), hidden


def _wide(columns: Columns, crossed: Mapping[str, tuple[keras.KerasTensor, int]], *, n_outputs: int,
          hparams: Mapping[str, Any]) -> list[keras.KerasTensor]:
    """A linear model: one weight an output for each number, each category and each combination of crossed columns.

    The weights of categories begin at 0, so that one that training never met adds nothing.
    """
    l1 = real_number(hparams, "wide_l1", 0.0, least=0)
    regularizer = keras.regularizers.L1(l1) if l1 > 0 else None
    summands = []
    if columns.numbers:
        numbers = _concatenated(list(columns.numbers.values()), name="wide_numbers")
        summands.append(keras.layers.Dense(n_outputs, use_bias=False, kernel_regularizer=regularizer, name="wide")(numbers))
    for name, (ids, size) in {**columns.categories, **crossed}.items():
        weights = keras.layers.Embedding(size, n_outputs, embeddings_initializer="zeros", embeddings_regularizer=regularizer,
                                         name=f"wide_{name}")
        summands.append(weights(ids))
    return summands


def _hidden(columns: Columns, hparams: Mapping[str, Any]) -> keras.KerasTensor:
    """The hidden layers, on all numbers and on an embedding of each category."""
    size = whole_number(hparams, "embedding_size", 8)
    inputs = [*columns.numbers.values(), *(keras.layers.Embedding(num_categories, size, name=f"deep_{name}")(ids)
                                           for name, (ids, num_categories) in columns.categories.items())]
    hidden = _concatenated(inputs, name="deep_inputs")
    dropout = real_number(hparams, "dropout", 0.0, least=0, below=1)
    for layer in range(whole_number(hparams, "hiddenLayers", 2)):
        hidden = keras.layers.Dense(whole_number(hparams, "hiddenNeurons", 64), activation="relu",
                                    name=f"deep_hidden_{layer + 1}")(hidden)
        if dropout > 0:
            hidden = keras.layers.Dropout(dropout, name=f"deep_dropout_{layer + 1}")(hidden)
    return hidden


def _concatenated(tensors: list[keras.KerasTensor], *, name: str) -> keras.KerasTensor:
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]


class _Bias(keras.layers.Layer):
    """Adds one weight to each output, whichever parts there are."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias
