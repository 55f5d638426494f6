"""Means over the replicas of a distribution strategy, each weighed by its number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from expman.errors import TrainingError
from expman.internals.keras_internals import can_train_on_several_replicas
from expman.settings.loading import Settings


def mean_over_replicas(values: Sequence[Any], *, num_samples: tf.Tensor) -> tuple[list[Any], tf.Tensor]:
    """Averages what the replicas found over the samples of all; to be called by a replica.

    Arguments:
        values: tensors, `tf.IndexedSlices` or None, each a mean over the samples of this replica.
        num_samples: how many samples that is, an int scalar.

    Returns:
        The means over the whole batch, and its number of samples.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return list(values), num_samples
    present = [value for value in values if value is not None]
    sums = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [
        tf.cast(num_samples, tf.float32), *(_times(value, num_samples) for value in present)]))
    total = next(sums)
    return [None if value is None else _times(next(sums), 1 / total) for value in values], total


def check_replicas(settings: Settings, *, num_replicas: int) -> None:
    """Refuses settings that several replicas cannot follow.

    Raises:
        TrainingError: there are several replicas and such a setting.
    """
    errors = {
        "steps_per_execution": ((settings.steps_per_execution or 1) > 1, "TensorFlow runs one step at a time: remove it"),
        "gradient_accumulation_steps": (settings.gradient_accumulation_steps > 1,
                                        "Keras cannot accumulate there: set it to 1, and a larger batch_size"),
        "random_seed": (settings.random_seed is None, "all must draw the same order of the data: set it")}
    found = [f"{name} = {getattr(settings, name)} does not go with {num_replicas} devices: {remedy}."
             for name, (is_wrong, remedy) in errors.items() if is_wrong]
    if settings.defines("train_step"):
        found.append(f"{settings.place_of('train_step')}: train_step does not go with {num_replicas} devices, which would not "
                     "share their gradients: use one device, or remove train_step.")
    if not can_train_on_several_replicas():
        found.append(f"distribution_strategy = {settings.distribution_strategy!r}: this Keras might read a batch before the "
                     "training does: use one device, or the Keras of requirements.txt.")
    if num_replicas > 1 and found:
        raise TrainingError("\n".join(found))


def _times(value: Any, factor: Any) -> Any:
    if isinstance(value, tf.IndexedSlices):
        return tf.IndexedSlices(_times(value.values, factor), value.indices, value.dense_shape)
    return value * tf.cast(factor, value.dtype)
