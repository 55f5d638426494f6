"""A dataset that gives out one iterator a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf


class PassDataset(tf.data.Dataset):
    """Wraps a dataset for Keras, which asks for an iterator more often than it uses one.

    Each new iterator draws the seeds of the next pass's shuffling; were spare ones made, the order of an epoch would depend on
    how often Keras had asked before, and a restarted training could not find it again.

    Arguments:
        dataset: the dataset to pass over.
        pass_number: tells which pass is running; a new iterator is made when it has changed.
    """

    def __init__(self, dataset: tf.data.Dataset, *, pass_number: Callable[[], int] = lambda: 0) -> None:
        self._dataset = dataset
        self._pass_number = pass_number
        self._present: tuple[int, Iterator[Any]] | None = None
        super().__init__(dataset._variant_tensor)  # what subclasses of tf.data.Dataset hand over

    def __iter__(self) -> Iterator[Any]:
        number = self._pass_number()
        if self._present is None or self._present[0] != number:
            self._present = (number, self._new_iterator())
        return self._present[1]

    def _new_iterator(self) -> Iterator[Any]:
        return super().__iter__()

    @property
    def element_spec(self) -> Any:
        """The shapes and dtypes of a batch."""
        return self._dataset.element_spec

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]
