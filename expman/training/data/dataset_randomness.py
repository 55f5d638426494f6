"""Finds out where in a dataset random numbers are drawn, from the kinds of its stages."""

from __future__ import annotations

from collections.abc import Set

import tensorflow as tf

# The classes of the stages are TensorFlow's own affair; nothing public tells them.
SHUFFLES = frozenset({"_ShuffleDataset"})
MAKES_ITERATORS_LATER = frozenset({"_RepeatDataset", "_ConcatenateDataset"})
"""Stages that draw the seeds of what is below them when they come to it, not when a pass starts."""
_RANDOM = SHUFFLES | {"_RandomDataset"}


def is_random_below(dataset: tf.data.Dataset, stages: Set[str], *, is_below: bool = False) -> bool:
    """Whether a dataset shuffles or draws random numbers below a stage of one of these kinds."""
    kind = type(dataset).__name__
    if is_below and kind in _RANDOM:
        return True
    return any(is_random_below(source, stages, is_below=is_below or kind in stages) for source in dataset._inputs())
