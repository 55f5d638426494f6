"""The end that all pipelines share: cache, shuffle, batch, prefetch."""

from __future__ import annotations

import os

import tensorflow as tf


def cached(dataset: tf.data.Dataset, cache: bool | str | os.PathLike[str]) -> tf.data.Dataset:
    """Keeps the elements of the first pass: in memory (True), in files whose names start with a path, or not (False)."""
    if cache is False:
        return dataset
    return dataset.cache() if cache is True else dataset.cache(os.fspath(cache))


def batched(dataset: tf.data.Dataset, *, batch_size: int, shuffle_buffer: int = 0, seed: int | None = None,
            drop_remainder: bool = False) -> tf.data.Dataset:
    """Shuffles samples anew in each pass (`shuffle_buffer` of them at a time, 0: not at all), batches and prefetches them."""
    if shuffle_buffer:
        dataset = dataset.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    return dataset.batch(batch_size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)
