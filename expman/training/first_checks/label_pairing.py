"""Checks that the loss and the metrics compare each prediction with its own label, not with those of all samples.

Labels `[batch]` minus predictions `[batch, 1]` give `[batch, batch]`: a number that looks like a loss and trains a wrong model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from expman.errors import UserCodeError
from expman.settings.loading import Settings, Unavailable
from expman.training.data.batch_form import unpacked
from expman.training.experiment_model import ExperimentModel
from expman.training.first_checks.broadcast_pairs import MOST_SHIFTS, are_broadcast, broadcast_pair, compares_all_with_all
from expman.training.first_checks.told_apart import told_apart
from expman.training.user_functions.user_metrics import make_metric, named_scalars

_LOGGER = logging.getLogger(__name__)
_EQUAL, _DIFFERENT = 1e-6, 1e-3  # relative differences of losses: rounding alone, and more than rounding
_Numbers = Callable[[Any, Any, Any], dict[str, float]]


def check_label_pairing(settings: Settings, model: ExperimentModel, batch: tuple[Any, ...]) -> None:
    """Computes loss and metrics of one batch again with the labels of other samples.

    Each number must change when the labels move to other samples, unless it does not depend on labels at all, and must stay
    when inputs, outputs and labels move together. Numbers that differ from call to call are left out.

    Arguments:
        settings: the experiment.
        model: compiled; no weight changes.
        batch: (features, labels, …) of the training data.

    Raises:
        UserCodeError: predictions and labels have shapes that are broadcast against each other, and a number depends on it.
    """
    features, labels, sample_weights = unpacked(batch)
    equal_weights = None if sample_weights is None else tf.ones_like(sample_weights)  # they are not what is paired here
    num_samples = _num_samples(labels)
    if num_samples < 2 or not model.runs_without_strategy:
        return
    inputs = model.preprocess(features)
    outputs = told_apart(model.infer(inputs))
    moves_together = all(_num_samples(part) == num_samples for part in (inputs, outputs))
    for function, numbers in _measured(settings, model, equal_weights).items():
        first = _repeatable(numbers, inputs, outputs, labels)
        alike = numbers(inputs, outputs, _first_repeated(labels))
        together = numbers(_rolled(inputs), _rolled(outputs), _rolled(labels)) if moves_together else first
        # A metric that counts classes is the same for all orders while the network answers one class to all samples.
        of_one_answer = numbers(inputs, _first_repeated(outputs), labels) if function == "get_eval_metric_ops" else {}
        for name, value in first.items():
            says_nothing = name in of_one_answer and _differ(value, of_one_answer[name]) <= _EQUAL
            if (_differ(value, alike[name]) > _DIFFERENT and not says_nothing
                    and _stays(value, lambda moved, name=name, numbers=numbers: numbers(inputs, outputs, moved)[name], labels)):
                _tell(settings, function, name, predictions=_predictions(model, inputs, outputs, labels), labels=labels)
            if _differ(value, together[name]) > _DIFFERENT:
                _LOGGER.warning("%s: %s of %s changes when the samples of a batch change places. Check that it compares each "
                                "prediction with its own label.", settings.place_of(function), name, function)
    _check_loss_pairs(settings, model, inputs, outputs, labels, sample_weights=equal_weights)
    _check_keras_metrics(settings, model, inputs, outputs, labels, sample_weights=equal_weights)


def _check_loss_pairs(settings: Settings, model: ExperimentModel, inputs: Any, outputs: Any, labels: Any, *,
                      sample_weights: tf.Tensor | None) -> None:
    """Refuses a loss that compares one of several outputs or labels with those of all samples."""
    def loss(outputs: Any, labels: Any) -> float:
        return float(model.total_loss(inputs=inputs, outputs=outputs, labels=labels, losses=[], sample_weights=sample_weights))

    found = broadcast_pair(loss, outputs, labels)
    if found:
        name, output, label_name, label = found
        raise UserCodeError(
            f"{settings.place_of('get_total_loss')}: the loss of get_total_loss compares each sample of output '{name}', of shape "
            f"{_shape(output)}, with those of all samples in {label_name}, of shape {_shape(label)}: they are broadcast to "
            f"[{output.shape[0]}, {label.shape[0]}]. Give both one shape: add tf.newaxis to the shorter or tf.squeeze the longer.")


def _check_keras_metrics(settings: Settings, model: ExperimentModel, inputs: Any, outputs: Any, labels: Any, *,
                         sample_weights: tf.Tensor | None) -> None:
    """Refuses a metric given as (metric, y_true, y_pred) that compares all with all; Keras' own bring both to one shape."""
    place = settings.place_of("get_eval_metric_ops")
    measured = settings.call("get_eval_metric_ops", sample_weights=sample_weights,
                             **model.offered(inputs=inputs, outputs=outputs, labels=labels))
    for name, value in measured.items():
        if not (isinstance(value, tuple) and len(value) == 3 and are_broadcast(value[1], value[2])):
            continue
        kind, y_true, y_pred = value
        metric = make_metric(kind, name=name, place=place, y_true=tf.TensorSpec(y_true.shape), y_pred=tf.TensorSpec(y_pred.shape))

        def number(y_pred: tf.Tensor, y_true: tf.Tensor, metric: Any = metric) -> float:
            metric.reset_state()
            metric.update_state(y_true, y_pred)
            return sum(map(float, named_scalars("", metric.result(), class_names=()).values()))

        compares_all = compares_all_with_all(number, y_pred, y_true)
        metric.reset_state()
        if compares_all:
            raise UserCodeError(
                f"{place}: the metric '{name}' of get_eval_metric_ops compares each prediction with the labels of all samples: "
                f"y_pred has shape {_shape(y_pred)} and y_true {_shape(y_true)}. Give both one shape: add tf.newaxis to the "
                "shorter or tf.squeeze the longer.")


def _measured(settings: Settings, model: ExperimentModel, sample_weights: tf.Tensor | None) -> dict[str, _Numbers]:
    """For each of the user's functions, what computes its scalar tensors by name."""
    def loss(inputs: Any, outputs: Any, labels: Any) -> dict[str, float]:
        return {"the loss": float(model.total_loss(inputs=inputs, outputs=outputs, labels=labels, losses=[],
                                                  sample_weights=sample_weights))}

    def metrics(inputs: Any, outputs: Any, labels: Any) -> dict[str, float]:
        offered = model.offered(inputs=inputs, outputs=outputs, labels=labels)
        measured = settings.call("get_eval_metric_ops", sample_weights=sample_weights, **offered)
        return {f"the metric '{name}'": float(value) for name, value in measured.items()
                if tf.is_tensor(value) and value.shape.rank == 0 and (value.dtype.is_floating or value.dtype.is_integer)}

    return {"get_total_loss": loss, "get_eval_metric_ops": metrics}


def _repeatable(numbers: _Numbers, inputs: Any, outputs: Any, labels: Any) -> dict[str, float]:
    """The numbers that are the same in a second call."""
    again = numbers(inputs, outputs, labels)
    return {name: value for name, value in numbers(inputs, outputs, labels).items() if value == again[name]}


def _tell(settings: Settings, function: str, name: str, *, predictions: Any, labels: Any) -> None:
    place = settings.place_of(function)
    if are_broadcast(predictions, labels):
        raise UserCodeError(
            f"{place}: {name} of {function} compares each prediction with the labels of all samples: predictions have shape "
            f"{_shape(predictions)} and labels {_shape(labels)}, which are broadcast to "
            f"[{predictions.shape[0]}, {labels.shape[0]}]. Give both one shape: write labels[:, tf.newaxis] for labels or "
            "tf.squeeze(predictions, -1) for predictions, or batch labels as [batch, 1].")
    _LOGGER.warning("%s: %s of %s depends on the labels, but not on which sample has which: it stays the same when they move "
                    "to other samples. Check the shapes that it combines.", place, name, function)


def _predictions(model: ExperimentModel, inputs: Any, outputs: Any, labels: Any) -> Any:
    predictions = model.offered(inputs=inputs, outputs=outputs, labels=labels)["predictions"]
    return None if isinstance(predictions, Unavailable) else predictions


def _num_samples(labels: Any) -> int:
    """Returns how many samples the labels have; 0 where they are not dense, or no batch."""
    tensors = tf.nest.flatten(labels)
    if not tensors or not all(isinstance(tensor, tf.Tensor) and tensor.shape.rank for tensor in tensors):
        return 0
    sizes = {int(tensor.shape[0]) for tensor in tensors}
    return sizes.pop() if len(sizes) == 1 else 0


def _stays(value: float, number: Callable[[Any], float], labels: Any) -> bool:
    """Returns whether a number stays whichever samples the labels move to; a count may stay by chance for some."""
    shifts = range(1, min(_num_samples(labels), MOST_SHIFTS + 1))
    return all(_differ(value, number(_rolled(labels, shift))) <= _EQUAL for shift in shifts)


def _rolled(labels: Any, shift: int = 1) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.concat([tensor[shift:], tensor[:shift]], axis=0), labels)


def _first_repeated(labels: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tf.repeat(tensor[:1], tensor.shape[0], axis=0), labels)


def _differ(one: float, other: float) -> float:
    """The relative difference of two numbers; 0 where one is not finite, which other checks tell."""
    if not (np.isfinite(one) and np.isfinite(other)):
        return 0.0
    return abs(one - other) / max(abs(one), abs(other), 1e-12)


def _shape(tensor: tf.Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape.as_list()))}]"
