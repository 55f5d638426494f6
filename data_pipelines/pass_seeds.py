"""Seeds for what is drawn in a pipeline: new ones in each pass, the same ones in each run.

A restarted training skips passes by creating their iterators and not reading them; the seeds must be drawn by that alone. It is
so for `with_seeds` and for `Dataset.shuffle`, but not beneath another `Dataset.shuffle`, which creates the iterator of what it
shuffles only when it is read. `seeded_passes` is for pipelines that need that.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def with_seeds(dataset: tf.data.Dataset, *, seed: int | tf.Tensor | None = None) -> tf.data.Dataset:
    """Pairs each element with a seed of its own: (element, int64 scalar) in 0 … 2³² − 1, for `np.random.default_rng`.

    Arguments:
        dataset: any dataset.
        seed: of the seeds; None: derived from `tf.random.set_seed`.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    return tf.data.Dataset.zip(dataset, seeds)


def seeded_passes(make: Callable[[tf.Tensor], tf.data.Dataset], *, seed: int | None = None) -> tf.data.Dataset:
    """The dataset that `make` builds, built anew in each pass with another seed.

    Datasets that are built outside of `make` and used in it are as they would be elsewhere, caches among them.

    Arguments:
        make: gets the seed of a pass, int64 scalar, for `Dataset.shuffle`, `with_seeds` and NumPy, in any depth.
        seed: of the seeds; None: derived from `tf.random.set_seed`.
    """
    def of_pass(_: tf.Tensor, pass_seed: tf.Tensor) -> tf.data.Dataset:
        tf.random.set_seed(1)  # of this graph alone: beside a global seed of 0 TensorFlow 2.21 takes no tensor as a seed
        return make(pass_seed)

    return with_seeds(tf.data.Dataset.range(1), seed=seed).flat_map(of_pass)
