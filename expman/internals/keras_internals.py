"""Names of Keras that are not public, or have only a slower public way, which is taken when one is gone."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import keras
import tensorflow as tf

from expman.internals.private_names import missing_names

_SUM = "Optimizer._all_reduce_sum_gradients"
_SCHEDULE = "Optimizer._learning_rate"
_BUILD = "Model._maybe_symbolic_build"
_SCALE = "losses.loss.scale_loss_for_distribution"
_HISTORY = "KerasTensor._keras_history"
_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def _loss_module() -> Any:
    return import_module("keras.src.losses.loss")


MISSING = missing_names({
    _SUM: (lambda: callable(keras.optimizers.Optimizer._all_reduce_sum_gradients),
           "gradients of several devices are summed twice, which takes longer."),
    _SCHEDULE: (lambda: "_learning_rate" in keras.optimizers.Optimizer.learning_rate.fget.__globals__[  # type: ignore[attr-defined]
        "BaseOptimizer"]._get_current_learning_rate.__code__.co_names,
        "schedules of learning rates are made anew from their configuration."),
    _BUILD: (lambda: {"iterator", "data_batch"} <= set(inspect.signature(keras.Model._maybe_symbolic_build).parameters),
             "several devices cannot train one experiment."),
    _SCALE: (lambda: callable(_loss_module().scale_loss_for_distribution)
             and "scale_loss_for_distribution" in _loss_module().reduce_values.__code__.co_names,
             "the scaling of Keras' losses for several devices is undone after each."),
    _HISTORY: (lambda: "_keras_history" in import_module("keras.src.ops.node").Node.__init__.__code__.co_names,
               "a baseline whose last layer is called several times is linear."),
}, library=f"Keras {keras.__version__}")


def schedule_of(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the schedule that sets the learning rate; None when there is none. The public `learning_rate` is its value."""
    schedule = keras.optimizers.schedules.LearningRateSchedule
    if _SCHEDULE not in MISSING:
        return optimizer._learning_rate if isinstance(optimizer._learning_rate, schedule) else None
    config = optimizer.get_config()["learning_rate"]
    made = keras.optimizers.schedules.deserialize(config) if isinstance(config, dict) else None
    return made if isinstance(made, schedule) else None


def operation_of(output: keras.KerasTensor, network: keras.Model) -> Any:
    """Returns the operation of a network that makes one of its outputs; None when that cannot be told."""
    if _HISTORY not in MISSING:
        return output._keras_history.operation
    return next((operation for operation in network.operations if any(output is made for made in _outputs_of(operation))), None)


def take_gradients_as_averaged(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer use the gradients as it gets them; to be called when its clipping is set, within the strategy's scope.

    Keras sums the gradients of the replicas after it has clipped those of each by itself, which is another norm than that
    of the whole batch. Here they are averaged before.
    """
    if _SUM not in MISSING:
        optimizer._all_reduce_sum_gradients = list  # takes and returns pairs (gradient, variable)
        return
    num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if num_replicas == 1:
        return
    # A sum of equal parts is the average; a part is clipped to a part of the limit.
    for limit in ("clipnorm", "global_clipnorm", "clipvalue"):
        if getattr(optimizer, limit) is not None:
            setattr(optimizer, limit, getattr(optimizer, limit) / num_replicas)
    apply = optimizer.apply

    def apply_parts(grads: Sequence[Any], trainable_variables: Iterable[keras.Variable] | None = None) -> None:
        apply([None if gradient is None else _divided(gradient, num_replicas) for gradient in grads], trainable_variables)

    optimizer.apply = apply_parts


def can_train_on_several_replicas() -> bool:
    """Returns whether this Keras leaves all batches to the training. One without that name might read a batch before it."""
    return _BUILD not in MISSING


class WithoutSymbolicBuild:
    """Mixin of a `keras.Model` that is built: Keras would spend a batch of the pass on building it again."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing."""


@contextlib.contextmanager
def keras_losses_as_means() -> Iterator[None]:
    """Has Keras' loss objects give the mean over the samples of a replica.

    Keras divides it by the number of replicas, for sums of gradients; here the replicas' means are averaged.
    """
    if _SCALE in MISSING:
        owner, name, replacement = keras.losses.Loss, "__call__", _unscaled(keras.losses.Loss.__call__)
    else:
        owner, name, replacement = _loss_module(), "scale_loss_for_distribution", _unchanged
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _outputs_of(operation: Any) -> list[keras.KerasTensor]:
    try:
        return keras.tree.flatten(operation.output)
    except (AttributeError, ValueError):  # of a layer that is called several times
        return []


def _unchanged(value: tf.Tensor) -> tf.Tensor:
    return value


def _unscaled(call: Callable[..., Any]) -> Callable[..., Any]:
    def unscaled_call(loss: keras.losses.Loss, *arguments: Any, **named: Any) -> Any:
        value = call(loss, *arguments, **named)
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return value * tf.cast(num_replicas, value.dtype) if loss.reduction in _MEANS and num_replicas > 1 else value

    return unscaled_call


def _divided(gradient: Any, divisor: int) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / divisor, gradient.indices, gradient.dense_shape)
    return gradient / divisor
