"""Datasets that give out one iterator a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf


class Passes:
    """Keeps one iterator a pass for Keras, which asks for an iterator more often than it uses one.

    Each new iterator draws the seeds of the next pass's shuffling; were spare ones made, the order of an epoch would depend on
    how often Keras had asked before, and a restarted training could not find it again.

    Arguments:
        pass_number: tells which pass is running; a new iterator is made when it has changed.
    """

    def __init__(self, pass_number: Callable[[], int]) -> None:
        self._pass_number = pass_number
        self._present: tuple[int, Iterator[Any]] | None = None

    def iterator(self, make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Returns the iterator of the running pass, which `make` makes when it is asked for first."""
        number = self._pass_number()
        if self._present is None or self._present[0] != number:
            self._present = (number, make())
        return self._present[1]


def pass_dataset(dataset: tf.data.Dataset, *, pass_number: Callable[[], int] = lambda: 0) -> tf.data.Dataset:
    """Returns the same dataset with one iterator a pass; see `Passes`."""
    same = dataset.with_options(tf.data.Options())  # an object of its own, which may get another class
    return _with_passes(same, Passes(pass_number), {})


def distributed_pass_dataset(dataset: tf.distribute.DistributedDataset, *, num_batches: int,
                             pass_number: Callable[[], int] = lambda: 0) -> tf.distribute.DistributedDataset:
    """Returns a distributed dataset that nobody else uses, now with one iterator a pass; see `Passes`.

    Arguments:
        dataset: the dataset to pass over.
        num_batches: as `tf.data.Dataset.cardinality` tells it of what is shared out.
        pass_number: tells which pass is running.
    """
    return _with_passes(dataset, Passes(pass_number), {"cardinality": num_batches})


def _with_passes(dataset: Any, passes: Passes, attributes: dict[str, Any]) -> Any:
    """Gives a dataset a class of its own, since Keras takes nothing but TensorFlow's datasets and what is derived from them."""
    kind = type(dataset)
    dataset.__class__ = type("PassDataset", (kind,), {
        "__iter__": lambda self: passes.iterator(lambda: kind.__iter__(self)), **attributes})
    return dataset
