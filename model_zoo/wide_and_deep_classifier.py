"""Ready-made classifier for tables: a linear model on columns and crossed columns, and a network on embeddings.

Source: Cheng et al., "Wide & deep learning for recommender systems", DLRS 2016.
Parameters: with numbers of w columns in all, categories of sizes c, crossed columns of sizes x and n classes,
(w + Σ c + Σ x) n for the wide part, e Σ c + (d + 1) h + (l − 1)(h + 1) h + h n for the deep part with embeddings of size e,
l hidden layers of h units and d = w + e · number of categorical columns, and n biases.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import number_of_outputs
from model_zoo.layers.wide_and_deep import wide_and_deep


def model(data: keras.KerasTensor | dict[str, keras.KerasTensor], n_outputs: int,
          hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: the columns, name → tensor `[batch]` or `[batch, 1]`: float32 for numbers, which may also be
            `[batch, width]` (several numbers, or one-hot), string or integer for categories. Or one float32 tensor
            `[batch, width]` of numbers alone. Numbers should be normalised in `data_preprocess`.
        n_outputs: number of classes, at least 2.
        hparams: `parts` ('wide_and_deep', 'wide', 'deep'), `crosses` (pairs of columns whose combinations the wide part
            weighs, e.g. 'education*occupation, region*age'; ''), `wide_l1` (penalty on its weights, 0; reaches
            `weights_loss`), `categories_<column>` (integers of that column run from 0 to this − 1, others share one category;
            without it they are hashed), `hash_buckets` (of a hashed column, 128), `embedding_size` (of a category in the
            deep part, 8), `hiddenNeurons` (units of a hidden layer, 64), `hiddenLayers` (their number, 2), `dropout` (0).

    Returns:
        `logits`: `[batch, n_outputs]`; `probabilities`: their softmax; `code`: the last hidden layer,
        `[batch, hiddenNeurons]`, absent without the deep part.

    Raises:
        ValueError: a hyperparameter or a column is not as it must be.
    """
    logits, hidden = wide_and_deep(data, number_of_outputs(n_outputs, least=2, meaning="classes"), hparams)
    # In full precision also under mixed precision, so that the probabilities add up to 1.
    outputs = {"logits": logits, "probabilities": keras.layers.Softmax(dtype="float32", name="probabilities")(logits)}
    return outputs if hidden is None else {"code": hidden, **outputs}
