"""The tables of the layers that look words or numbers up: no variables, so that no checkpoint holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras

from expman.errors import TrainingError

_LOOKUP_LAYERS = (keras.layers.TextVectorization, keras.layers.StringLookup, keras.layers.IntegerLookup)


def table_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network that have tables; those of nested networks included."""
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found += table_layers(layer)
        elif isinstance(layer, _LOOKUP_LAYERS):
            found.append(layer)
    return found


def table_hashes(network: keras.Model) -> list[str]:
    """For each of these layers, in their order, the SHA-256 of its words and their order."""
    return [hashlib.sha256(repr(layer.get_vocabulary()).encode()).hexdigest() for layer in table_layers(network)]


def check_same_tables(network: keras.Model, *, recorded: Sequence[str], place: str) -> None:
    """Refuses a restart with other words than the weights were trained with.

    Arguments:
        network: built anew from the experiment's files.
        recorded: `table_hashes` when the training started.
        place: of the function `model`.

    Raises:
        TrainingError: a table differs.
    """
    others = [layer.name for layer, now, then in zip(table_layers(network), table_hashes(network), recorded) if now != then]
    if others:
        raise TrainingError(f"{place}: the words of {', '.join(others)} are not those that the training started with: the weights "
                            "would meet other words. Restore the file that they are read from, or train anew.")
