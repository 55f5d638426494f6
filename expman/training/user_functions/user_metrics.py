"""Reads what the user may write for a Keras metric, and the named scalars that come of its result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from expman.errors import UserCodeError, UserExceptionError
from expman.settings.user_module import user_code

_BY_SHAPES = {"accuracy": "accuracy", "acc": "accuracy", "crossentropy": "crossentropy", "ce": "crossentropy"}


def make_metric(kind: Any, *, name: str, y_true: tf.TensorSpec, y_pred: tf.TensorSpec, place: str) -> keras.metrics.Metric:
    """The metric object of a class, a factory, an object or a name; 'accuracy' and 'crossentropy' mean what they do in Keras.

    Arguments:
        kind: what the user wrote.
        name, place: of the metric and of the user's function, for messages.
        y_true, y_pred: the specs of what it compares; their shapes tell which accuracy is meant.

    Raises:
        UserCodeError: it is none of these, or the factory raised.
    """
    described_as = f"metric '{name}' of get_eval_metric_ops"
    with user_code(described_as, default_place=place):
        try:
            made = keras.metrics.get(_resolved(kind, y_true, y_pred)) if isinstance(kind, str) else kind
            made = made if isinstance(made, keras.metrics.Metric) or not callable(made) else made()
        except (TypeError, ValueError) as error:
            raise UserCodeError(f"{place}: {described_as} cannot be made from {kind!r}: {error}") from error
    if not isinstance(made, keras.metrics.Metric):
        raise UserCodeError(f"{place}: {described_as} must name a Keras metric, its class or an object of it, e.g. "
                            f"(keras.metrics.RootMeanSquaredError, y_true, y_pred). Got {kind!r}.")
    return made


@contextlib.contextmanager
def metrics_made_outside(place: str) -> Iterator[None]:
    """Tells what to write instead of a metric that the user's function makes anew at each call: it could not add up batches."""
    try:
        yield
    except UserExceptionError as error:
        if "singleton tf.Variables" not in str(error):
            raise
        raise UserCodeError(f"{place}: get_eval_metric_ops makes a Keras metric at each call, which cannot add up the batches. "
                            "Return (keras.metrics.F1Score, y_true, y_pred), with functools.partial for its arguments, or make "
                            f"the object outside of the function.\n{error}") from error


def named_scalars(name: str, result: Any, *, class_names: Sequence[str]) -> dict[str, tf.Tensor]:
    """A scalar result under its name; of a vector each entry, `name/<class name>`, or `name/0` … without a name for each."""
    if isinstance(result, dict):
        return {f"{name}/{entry}": value for entry, value in result.items()}
    result = tf.convert_to_tensor(result)
    if result.shape.rank == 0:
        return {name: result}
    entries = tf.unstack(tf.reshape(result, [result.shape.num_elements()]))
    labels = class_names if len(class_names) == len(entries) else range(len(entries))
    return {f"{name}/{label}": entry for label, entry in zip(labels, entries)}


def _resolved(kind: str, y_true: tf.TensorSpec, y_pred: tf.TensorSpec) -> str:
    """Keras' rule: one column of predictions is binary; labels of lower rank, or of one column, are class numbers."""
    if kind.lower() not in _BY_SHAPES:
        return kind
    true_shape, shape = y_true.shape, y_pred.shape
    form = "binary" if shape[-1] == 1 else "sparse_categorical" if true_shape.rank < shape.rank or true_shape[-1] == 1 else "categorical"
    return f"{form}_{_BY_SHAPES[kind.lower()]}"
