"""The end that all pipelines share: cache, shuffle, batch, prefetch."""

from __future__ import annotations

import os

import tensorflow as tf


def cached(dataset: tf.data.Dataset, cache: bool | str | os.PathLike[str]) -> tf.data.Dataset:
    """Keeps the elements of the first pass: in memory (True), in files whose names start with a path, or not (False).

    The files are read instead of the data from then on: remove them when the data or what is made of them changes.

    Raises:
        ValueError: `cache` is none of these.
    """
    if not isinstance(cache, (bool, str, os.PathLike)) or cache == "":
        raise ValueError(f"cache must be True (in memory), False, or the path of the files. Got {cache!r}.")
    if cache is False:
        return dataset
    if cache is True:
        return dataset.cache()
    path = os.path.abspath(cache)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return dataset.cache(path)


def batched(dataset: tf.data.Dataset, *, batch_size: int | None, shuffle_buffer: int = 0,
            seed: int | tf.Tensor | None = None, drop_remainder: bool = False) -> tf.data.Dataset:
    """Shuffles samples anew in each pass (`shuffle_buffer` of them at a time, 0: not at all), batches and prefetches them.

    With a `batch_size` of None the samples stay single.
    """
    if shuffle_buffer:
        dataset = dataset.shuffle(shuffle_buffer, seed=seed, reshuffle_each_iteration=True)
    if batch_size is not None:
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    return prefetched(dataset)


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares elements ahead, on all cores from the first one on, as `AUTOTUNE` means without autotuning.

    Autotuning looks at a pass after spans of 10 ms, 20 ms, 40 ms and so on, and the end of the pass may wait until its present
    span is over, so that a pass takes up to twice its time.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
