"""Passes over a dataset whose batches are shared out among the replicas of a distribution strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from expman.training.distribution.pass_dataset import distributed_pass_dataset, pass_dataset


def passes(dataset: tf.data.Dataset, *, strategy: tf.distribute.Strategy, pass_number: Callable[[], int] = lambda: 0
           ) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Returns what `fit` and `evaluate` are given: the dataset itself for one replica, its shared batches for several."""
    if strategy.num_replicas_in_sync == 1 and strategy is tf.distribute.get_strategy():
        return pass_dataset(dataset, pass_number=pass_number)
    return shared_passes(dataset, strategy=strategy, pass_number=pass_number)


def shared_passes(dataset: tf.data.Dataset, *, strategy: tf.distribute.Strategy, pass_number: Callable[[], int] = lambda: 0
                  ) -> tf.distribute.DistributedDataset:
    """Gives each replica its part of each batch, as ((features, labels), number of samples that count).

    TensorFlow's own way of sharing leaves replicas without any sample when a batch is incomplete, where a mean is not a
    number. Here the parts differ by one sample at most, and a replica for which none is left gets one that counts nothing.
    Each process reads all batches and takes its parts: all must see the same data in the same order.

    Arguments:
        dataset: of (features, labels); the batch is the first dimension of all their tensors.
        strategy: whose replicas share the batches.
        pass_number: see `Passes`.
    """
    shared = strategy.distribute_datasets_from_function(
        lambda context: _parts_of_process(dataset, num_parts=strategy.num_replicas_in_sync,
                                          process=context.input_pipeline_id, num_processes=context.num_input_pipelines))
    return distributed_pass_dataset(shared, num_batches=int(dataset.cardinality()), pass_number=pass_number)


def _parts_of_process(dataset: tf.data.Dataset, *, num_parts: int, process: int, num_processes: int) -> tf.data.Dataset:
    """The parts of the process' own replicas, one after the other."""
    num_own = num_parts // num_processes
    own = tf.data.Dataset.range(process * num_own, (process + 1) * num_own)
    parts = dataset.flat_map(lambda *batch: own.map(lambda index: part_of_batch(batch, index=index, num_parts=num_parts)))
    return parts.prefetch(tf.data.AUTOTUNE)


def part_of_batch(batch: Any, *, index: tf.Tensor, num_parts: int) -> tuple[Any, tf.Tensor]:
    """One of the parts of a batch, which differ by one sample at most.

    Arguments:
        batch: a structure of tensors [batch, …].
        index: int64 scalar, from 0 to `num_parts` − 1.
        num_parts: how many parts there are.

    Returns:
        The structure of tensors [part, …], at least one sample long, and the number of samples that count, int64.
    """
    num_samples = tf.shape(tf.nest.flatten(batch)[0], out_type=tf.int64)[0]
    start, end = num_samples * index // num_parts, num_samples * (index + 1) // num_parts
    start = tf.minimum(start, num_samples - 1)
    part = tf.nest.map_structure(lambda tensor: tensor[start:tf.maximum(end, start + 1)], batch)
    return part, tf.maximum(end - start, 0)
