"""Seeds for what NumPy draws in a pipeline: new ones in each pass, the same ones in each run."""

from __future__ import annotations

import tensorflow as tf


def with_seeds(dataset: tf.data.Dataset, *, seed: int | None = None) -> tf.data.Dataset:
    """Pairs each element with a seed of its own: (element, int64 scalar) in 0 … 2³² − 1, for `np.random.default_rng`.

    Creating an iterator draws the seeds of a pass, as it does for `Dataset.shuffle`: a restarted training that skips
    passes gets the seeds that it would have had.

    Arguments:
        dataset: any dataset.
        seed: of the seeds; None: derived from `tf.random.set_seed`.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return tf.data.Dataset.zip(dataset, seeds)
