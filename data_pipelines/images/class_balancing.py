"""Lets each class come equally often, however many samples it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.pass_seeds import seeded_passes


def balanced_order(classes: Sequence[int], *, rng: np.random.Generator | None) -> np.ndarray:
    """Draws the order of one pass in which each class has as many places as the largest class has samples.

    With n samples in a class and N in the largest, each sample of it comes ⌊N / n⌋ times, and N mod n of them once more.

    Arguments:
        classes: the class of each sample; classes without a sample get no place.
        rng: draws which samples come once more, and the order. None: the first ones, and the classes take turns.

    Returns:
        int64 `[number of classes · N]`: indices of samples.
    """
    members = [np.flatnonzero(np.asarray(classes) == label) for label in np.unique(classes)]
    largest = max(map(len, members))
    if rng is None:
        return np.stack([np.resize(indices, largest) for indices in members], axis=1).ravel()
    places = [np.resize(rng.permutation(indices), largest) for indices in members]
    return rng.permutation(np.concatenate(places))


def balanced_indices(classes: Sequence[int], *, shuffle: bool, seed: int | None = None) -> tf.data.Dataset:
    """The indices of `balanced_order`, int64 scalars; drawn anew in each pass when shuffled, else the same in all passes."""
    fixed = balanced_order(classes, rng=None)
    if not shuffle:
        return tf.data.Dataset.from_tensor_slices(fixed)

    def drawn(pass_seed: tf.Tensor) -> tf.data.Dataset:
        order = tf.numpy_function(lambda value: balanced_order(classes, rng=np.random.default_rng(value)), [pass_seed],
                                  tf.int64, stateful=False)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, fixed.shape))

    return seeded_passes(drawn, seed=seed).apply(tf.data.experimental.assert_cardinality(len(fixed)))
