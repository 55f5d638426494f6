"""A small real `fit` for the tests of single callbacks: one weight, known data, counted as a training counts."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from expman.training.callbacks.step_counter import StepCounter
from expman.training.progress import TrainingProgress


class NoSums:
    """Stands for the sums of an epoch that a plain Keras model does not keep."""

    def __init__(self) -> None:
        self.num_resets = 0

    def reset(self) -> None:
        self.num_resets += 1

    def means_of_epoch(self) -> dict[str, float]:
        return {"loss": 0.5}

    def means(self, since: float = 0.0) -> dict[str, float]:
        return {"loss": 0.5 - since}

    def values(self) -> float:
        return 0.0


class Evaluated(keras.callbacks.Callback):
    """Makes the given values the results of the epochs' evaluations: None stands for an epoch without one."""

    def __init__(self, values: Sequence[float | None], *, progress: TrainingProgress) -> None:
        super().__init__()
        self._values = values
        self._progress = progress

    def on_train_batch_end(self, batch, logs=None):
        self._progress.evaluated = self._progress.improved = False

    def on_epoch_end(self, epoch, logs=None):
        value, progress = self._values[epoch], self._progress
        progress.evaluated = value is not None
        progress.improved = progress.evaluated and (progress.best_value is None or value < progress.best_value)
        if progress.evaluated:
            progress.num_evaluations += 1
            progress.last_metrics = {"loss": value}
            logs["val_loss"] = value
        if progress.improved:
            progress.best_value, progress.best_metrics = value, {"loss": value}
            progress.best_epoch, progress.best_step, progress.best_evaluation = epoch + 1, progress.step, progress.num_evaluations


def small_model(*, learning_rate: float = 0.1) -> keras.Model:
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False, name="line")], name="small")
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="mse")
    model.epoch_sums = NoSums()
    return model


def fit(*callbacks: keras.callbacks.Callback, progress: TrainingProgress, num_epochs: int = 3, num_steps: int = 4,
        values: Sequence[float | None] | None = None, model: keras.Model | None = None) -> keras.Model:
    """Trains the small model; the callbacks act behind the counter and, with `values`, the evaluations."""
    if model is None:
        model = small_model()
        model.optimizer.iterations.assign(progress.step)  # as a checkpoint gives it back
    x = np.linspace(-1, 1, 2 * num_steps, dtype=np.float32)[:, np.newaxis]
    evaluated = [] if values is None else [Evaluated(values, progress=progress)]
    model.fit(x, 3 * x, batch_size=2, epochs=num_epochs, initial_epoch=progress.epoch, shuffle=False, verbose=0,
              callbacks=[StepCounter(progress=progress), *evaluated, *callbacks])
    return model
