"""Training data that go on from epoch to epoch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def parts_of_stream(dataset: tf.data.Dataset, *, num_batches: int) -> tf.data.Dataset:
    """A dataset each pass of which has the next batches of a stream, as Keras' `fit(steps_per_epoch=…)` reads it.

    Here nothing is read ahead of a pass: Python's and NumPy's generators are seeded between two passes, and what a pipeline
    draws from them must belong to the pass that it is drawn for. The pipeline itself reads nothing ahead either where ops are
    deterministic: TensorFlow then leaves out the prefetches and parallel calls of what runs Python.

    Arguments:
        dataset: endless; one iterator over it serves all passes.
        num_batches: of a pass.
    """
    stream = iter(dataset)

    def next_batch(_: tf.Tensor) -> Any:
        return stream.get_next()

    return tf.data.Dataset.range(num_batches).map(next_batch)
