"""Compares what layers know beside their variables (words, boundaries, statistics of the data), so that no checkpoint holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from expman.errors import TrainingError

_LOOKUP_LAYERS = (keras.layers.TextVectorization, keras.layers.StringLookup, keras.layers.IntegerLookup)
_ADAPTED_LAYERS = (*_LOOKUP_LAYERS, keras.layers.Discretization, keras.layers.Normalization)


def table_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network that have tables; those within nested networks and layers included."""
    return [layer for layer in _adapted_layers(network) if isinstance(layer, _LOOKUP_LAYERS)]


def table_hashes(network: keras.Model) -> list[str]:
    """For each layer with words, boundaries or statistics, in the layers' order, the SHA-256 of these."""
    return [_hash(layer) for layer in _adapted_layers(network)]


def check_same_tables(network: keras.Model, *, recorded: Sequence[str] | None, place: str) -> None:
    """Refuses a restart with other words, boundaries or statistics than the weights were trained with.

    Arguments:
        network: built anew from the experiment's files.
        recorded: `table_hashes` when the training started; None for an experiment that knows none.
        place: of the function `model`.

    Raises:
        TrainingError: a layer differs.
    """
    if recorded is None:
        return
    layers = list(_adapted_layers(network))
    if len(layers) != len(recorded):
        raise TrainingError(f"{place}: the training started with {len(recorded)} layers that have words, boundaries or "
                            f"statistics, and model makes {len(layers)} now. Restore the model file, or train anew.")
    others = [layer for layer, then in zip(layers, recorded) if _hash(layer) != then]
    if others:
        raise TrainingError(f"{place}: the {' and the '.join(f'{_known(layer)} of {layer.name}' for layer in others)} are not "
                            "those that the training started with: the weights would meet others. Restore what they are read "
                            "from or adapted to, or train anew.")


def _adapted_layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    for inner in layer.layers if isinstance(layer, keras.Model) else _layers_within(vars(layer)):
        if isinstance(inner, _ADAPTED_LAYERS):
            yield inner
        else:
            yield from _adapted_layers(inner)


def _layers_within(attributes: Mapping[str, Any]) -> list[keras.layers.Layer]:
    """Returns the layers that a layer keeps, in the order in which it got them; only models have the public `layers`."""
    found: dict[int, keras.layers.Layer] = {}
    for value in attributes.values():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        found.update({id(part): part for part in parts if isinstance(part, keras.layers.Layer)})
    return list(found.values())


def _hash(layer: keras.layers.Layer) -> str:
    return hashlib.sha256(repr(_values(layer)).encode()).hexdigest()


def _values(layer: keras.layers.Layer) -> list:
    """Returns what a layer works with; of a Normalization what it applies, which its variables only remember."""
    if isinstance(layer, keras.layers.Discretization):
        return np.asarray(layer.bin_boundaries).tolist()
    if isinstance(layer, keras.layers.Normalization):
        return [np.asarray(statistic).tolist() for statistic in (layer.mean, layer.variance)]
    weights: dict[str, np.ndarray] = {}
    layer.save_own_variables(weights)  # those of tf_idf
    return [layer.get_vocabulary(), *(weights[name].tolist() for name in sorted(weights))] if weights else layer.get_vocabulary()


def _known(layer: keras.layers.Layer) -> str:
    if isinstance(layer, _LOOKUP_LAYERS):
        return "words"
    return "boundaries" if isinstance(layer, keras.layers.Discretization) else "statistics"
