"""How many threads an operation may use where several models run at the same time."""

from __future__ import annotations

import os


def cores_for_each(num_runs: int) -> int:
    """The share of each, at least one.

    TensorFlow would give an operation all cores in each run, and these then wait for one another: two runs on two cores answer
    a small convolutional network a third as often so (docs/serving_speed.md).
    """
    return max(1, len(os.sched_getaffinity(0)) // num_runs)
