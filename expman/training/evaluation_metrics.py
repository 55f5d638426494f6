"""The metrics of `get_eval_metric_ops`: their objects, what a batch adds to them, their results."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import keras
import tensorflow as tf

from expman.errors import UserCodeError
from expman.internals.keras_internals import keras_losses_as_means
from expman.internals.tensorflow_internals import outside_of_tracing
from expman.settings.loading import Settings
from expman.settings.user_module import user_code
from expman.training.user_functions.user_metrics import make_metric, metrics_made_outside, named_scalars
from expman.training.user_functions.user_tensors import tensor_of_numbers

_FUNCTION = "get_eval_metric_ops"


class EvaluationMetrics:
    """Adds up the user's metrics over the batches of an evaluation.

    Arguments:
        settings: the experiment.
        objects: name → metric object, filled as names are met. Of a Keras model, which resets what it tracks.
        without_strategy: whether no `tf.distribute.Strategy` has to place the variables of the objects.
    """

    def __init__(self, settings: Settings, *, objects: MutableMapping[str, keras.metrics.Metric],
                 without_strategy: bool) -> None:
        self._settings = settings
        self._place = settings.place_of(_FUNCTION)
        self._objects = objects
        self._without_strategy = without_strategy

    def values(self, offered: Mapping[str, Any]) -> dict[str, tuple[tf.Tensor, ...]]:
        """Returns what a batch adds to each metric: (y_true, y_pred), or (the value of the batch,); makes the objects.

        Arguments:
            offered: the arguments that the user's function may ask for.

        Raises:
            UserCodeError: the function returned something else than the contract says.
        """
        with metrics_made_outside(self._place), keras_losses_as_means():
            measured = self._settings.call(_FUNCTION, **offered)
        if not isinstance(measured, Mapping):
            raise UserCodeError(f"{self._place}: {_FUNCTION} must return a dict. Got {type(measured).__name__}.")
        return {name: self._value(name, value) for name, value in measured.items()}

    def update(self, values: Mapping[str, tuple[tf.Tensor, ...]], *, num_samples: tf.Tensor, sample_weights: tf.Tensor | None,
               num_replicas: int) -> None:
        """Adds the `values` of a batch.

        Arguments:
            num_samples: how many samples count; values of the batch are averaged over them.
            sample_weights: of the batch; what compares y_true and y_pred uses them.
            num_replicas: that share a batch.
        """
        for name, members in values.items():
            if len(members) == 1:
                self._objects[name].update_state(*members, sample_weight=num_samples)
            elif num_replicas == 1:
                self._compare(name, members, sample_weights)
            else:  # a replica for which a batch is too small holds a sample that does not count
                tf.cond(num_samples > 0, lambda name=name, members=members: self._compare(name, members, sample_weights),
                        lambda: tf.constant(False))

    def results(self) -> dict[str, tf.Tensor]:
        """The scalars of all metrics by name; of a vector each entry has one."""
        results = {}
        for name, metric in self._objects.items():
            results |= named_scalars(name, metric.result(), class_names=self._settings.reference_labels)
        return results

    def _compare(self, name: str, members: tuple[tf.Tensor, ...], sample_weights: tf.Tensor | None) -> tf.Tensor:
        weights = {} if sample_weights is None else {"sample_weight": sample_weights}
        with user_code(f"metric '{name}' of {_FUNCTION}", default_place=self._place):
            self._objects[name].update_state(*members, **weights)
        return tf.constant(True)

    def _value(self, name: Any, value: Any) -> tuple[tf.Tensor, ...]:
        if not isinstance(name, str) or not name:
            raise UserCodeError(f"{self._place}: the names of {_FUNCTION} must be of type str. Got {name!r}.")
        if name == "loss":
            raise UserCodeError(f"{self._place}: the metric name 'loss' is taken by get_total_loss. Choose another name.")
        described_as = f"metric '{name}' of {_FUNCTION}"
        if isinstance(value, tuple) and len(value) == 3:
            kind, *members = value
            members = tuple(tensor_of_numbers(member, f"{described_as} must compare tensors", place=self._place)
                            for member in members)
            self._make(name, kind, *members)
            return members
        value = tensor_of_numbers(
            value, f"{described_as} must be a scalar tensor, or a tuple (Keras metric, y_true, y_pred)", place=self._place)
        if value.shape.rank != 0:
            raise UserCodeError(f"{self._place}: {described_as} must be a scalar tensor. Got shape {value.shape}. "
                                "Average it, e.g. by tf.reduce_mean.")
        self._make(name, keras.metrics.Mean, value, value)
        return (tf.cast(value, tf.float32),)

    def _make(self, name: str, kind: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> None:
        """Makes the object of a name, once: its variables must outlive the tracing of a graph."""
        if name not in self._objects:
            with outside_of_tracing(without_strategy=self._without_strategy):
                self._objects[name] = make_metric(kind, name=name, place=self._place, y_true=tf.TensorSpec(y_true.shape),
                                                  y_pred=tf.TensorSpec(y_pred.shape))
