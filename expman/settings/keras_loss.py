"""Takes what Keras calls a loss as `get_total_loss`: its name, an object, or a function of (y_true, y_pred)."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any


def as_total_loss(value: Any) -> Any:
    """Returns a settings file's `get_total_loss`: a loss of Keras as a function of predictions and labels, else as it is."""
    return KerasLoss(value) if isinstance(value, str) or _takes_keras_pair(value) else value


class KerasLoss:
    """The mean over a batch of a loss of Keras.

    Arguments:
        loss: a name such as 'mse', an object such as `keras.losses.Huber()`, or a function of (y_true, y_pred).

    Raises:
        ValueError: when called: Keras does not know the name.
    """

    def __init__(self, loss: str | Callable[..., Any]) -> None:
        self._loss = loss

    def __call__(self, predictions: Any, labels: Any, sample_weights: Any = None) -> Any:
        """The loss of `predictions` and `labels`, as Keras pairs their shapes and weighs the samples: a scalar tensor."""
        import keras
        loss = self._loss
        if isinstance(loss, str):
            loss = _named(loss)
        if sample_weights is None:
            return keras.ops.mean(loss(labels, predictions))
        loss = loss if isinstance(loss, keras.losses.Loss) else _as_object(loss)
        return keras.ops.mean(loss(labels, predictions, sample_weight=sample_weights))


def _named(name: str) -> Callable[..., Any]:
    import keras
    try:
        found: Any = keras.losses.get(name)
    except ValueError as error:
        close = difflib.get_close_matches(name, dir(keras.losses), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"Keras has no loss '{name}'.{hint}") from error
    made: Any = found() if inspect.isclass(found) else found
    return made


def _as_object(function: Callable[..., Any]) -> Any:
    """A function of (y_true, y_pred) as the object that Keras makes of it, which weighs samples."""
    import keras

    class FunctionLoss(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return function(y_true, y_pred)

    return FunctionLoss()


def _takes_keras_pair(value: Any) -> bool:
    if not callable(value) or inspect.isclass(value):
        return False
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return False
    return {"y_true", "y_pred"} <= parameters.keys()
