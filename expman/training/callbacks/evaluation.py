"""Evaluates at the end of epochs, or within them too, and decides whether the model improved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import keras

from expman.training.progress import TrainingProgress
from expman.training.steps.seeds import kept_generators


class Evaluation(keras.callbacks.Callback):
    """Measures the model on the validation data and adds the results to the epoch's logs as `val_<metric>`.

    Of two evaluations with the same value of the metric, the one with the lower loss, on the same data, is better.

    Arguments:
        evaluate: measures the model; returns metric → value.
        progress: gets `evaluated`, `improved`, the best value and its place.
        metric: the metric that decides what 'best' means.
        mode: 'min' or 'max'.
        num_epochs: the last epoch; it is always evaluated.
        least_seconds_between: what ends sooner than this after the last evaluation is not evaluated.
        every_steps: evaluate each time that so many steps of an epoch are done, too; None: at the end of epochs only.
        steps_per_epoch: None while it is unknown.
        agree: makes of this process' answer to whether enough time has passed that of all workers.
    """

    def __init__(self, *, evaluate: Callable[[], Mapping[str, float]], progress: TrainingProgress, metric: str, mode: str,
                 num_epochs: int, least_seconds_between: float, every_steps: int | None = None,
                 steps_per_epoch: int | None = None, agree: Callable[[bool], bool] = bool) -> None:
        super().__init__()
        self._evaluate = evaluate
        self._progress = progress
        self._metric = metric
        self._sign = 1 if mode == "min" else -1
        self._num_epochs = num_epochs
        self._least_seconds_between = least_seconds_between
        self._every_steps = every_steps
        self._steps_per_epoch = steps_per_epoch
        self._agree = agree
        self._last_evaluation = -float("inf")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        progress = self._progress
        progress.evaluated = progress.improved = False
        if not self._every_steps or progress.step_in_epoch % self._every_steps or progress.step == progress.evaluated_step:
            return
        if progress.step_in_epoch != self._steps_per_epoch and self._is_time():  # the end of the epoch has its own
            with kept_generators():
                progress.evaluated_learning_rate = float(self.model.optimizer.learning_rate)
                self._take_result(dict(self._evaluate()), epoch=progress.running_epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        progress = self._progress
        progress.evaluated = progress.improved = False
        if self._every_steps and progress.step == progress.evaluated_step:  # its last step did not know that it was the last
            logs.update(self._named(progress.last_metrics))
        elif self._is_time() or epoch + 1 >= self._num_epochs:
            self._take_result(dict(self._evaluate()), epoch=epoch + 1)
            logs.update(self._named(progress.last_metrics))

    def _is_time(self) -> bool:
        return self._agree(time.monotonic() - self._last_evaluation >= self._least_seconds_between)

    @staticmethod
    def _named(metrics: Mapping[str, float]) -> dict[str, float]:
        return {f"val_{name}": number for name, number in metrics.items()}

    def _take_result(self, metrics: dict[str, float], *, epoch: int) -> None:
        """Takes over what an evaluation in an epoch, from 1, measured."""
        progress = self._progress
        self._last_evaluation = time.monotonic()
        progress.num_evaluations += 1
        value = metrics[self._metric]
        progress.last_metrics, progress.evaluated, progress.evaluated_step = metrics, True, progress.step
        progress.improved = not math.isnan(value) and self._is_better(metrics)
        if progress.improved:
            progress.best_value, progress.best_metrics = value, metrics
            progress.best_epoch, progress.best_step = epoch, progress.step
            progress.best_evaluation = progress.num_evaluations

    def _is_better(self, metrics: Mapping[str, float]) -> bool:
        """Returns whether these values are better than the best ones so far."""
        progress, value = self._progress, self._sign * metrics[self._metric]
        if progress.best_value is None:
            return True
        best = self._sign * progress.best_value
        set_name, slash, _ = self._metric.partition("/")
        loss = f"{set_name}/loss" if f"{set_name}{slash}loss" in metrics else "loss"
        return value < best or (value == best and metrics[loss] < progress.best_metrics[loss])
