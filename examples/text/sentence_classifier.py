"""Network for sentences: the mean of the vectors of their words and pairs of words, beside that of their pieces.

Source: Joulin, Grave, Bojanowski, Mikolov, "Bag of Tricks for Efficient Text Classification", arXiv:1607.01759, 2016; pieces of
words: Bojanowski, Grave, Joulin, Mikolov, "Enriching Word Vectors with Subword Information", arXiv:1607.04606, 2016.
"""

from __future__ import annotations

from typing import Any

import keras
from library_sentences import load_part


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network; the words that it knows are those of the training sentences.

    Arguments:
        data: strings `[batch]`.
        n_outputs: number of classes.
        hparams: `vocabulary` (how many words and pairs, and how many pieces, at most), `embeddingSize` (numbers that stand for
            each), `dropout` (fraction).

    Returns:
        `code`: what stands for a sentence, `[batch, 2 embeddingSize]`; `logits`: `[batch, n_outputs]`.
    """
    means = []
    for split, lengths in (("whitespace", 2), ("character", (3, 4))):
        numbers = keras.layers.TextVectorization(hparams["vocabulary"], split=split, ngrams=lengths)
        numbers.adapt(load_part(is_training=True)[0])
        places = numbers(data)
        vectors = keras.layers.Embedding(numbers.vocabulary_size(), hparams["embeddingSize"])(places)
        is_there = keras.ops.cast(places != 0, "float32")[..., None]  # 0 fills up the shorter sentences of a batch
        num_there = keras.ops.maximum(keras.ops.sum(is_there, axis=1), 1.0)  # one may be empty, or too short for pieces
        means.append(keras.ops.sum(is_there * vectors, axis=1) / num_there)
    code = keras.layers.Concatenate()(means)
    return {"code": code, "logits": keras.layers.Dense(n_outputs)(keras.layers.Dropout(hparams["dropout"])(code))}
