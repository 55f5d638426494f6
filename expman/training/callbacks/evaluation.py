"""Evaluates at the end of epochs and decides whether the model improved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import keras

from expman.training.progress import TrainingProgress


class Evaluation(keras.callbacks.Callback):
    """Measures the model on the validation data and adds the results to the epoch's logs as `val_<metric>`.

    Of two evaluations with the same value of the metric, the one with the lower loss, on the same data, is better.

    Arguments:
        evaluate: measures the model; returns metric → value.
        progress: gets `evaluated`, `improved`, the best value and its place.
        metric: the metric that decides what 'best' means.
        mode: 'min' or 'max'.
        num_epochs: the last epoch; it is always evaluated.
        least_seconds_between: an epoch that ends sooner than this after the last evaluation is not evaluated.
        agree: makes of this process' answer to whether enough time has passed that of all workers.
    """

    def __init__(self, *, evaluate: Callable[[], Mapping[str, float]], progress: TrainingProgress, metric: str, mode: str,
                 num_epochs: int, least_seconds_between: float, agree: Callable[[bool], bool] = bool) -> None:
        super().__init__()
        self._evaluate = evaluate
        self._progress = progress
        self._metric = metric
        self._sign = 1 if mode == "min" else -1
        self._num_epochs = num_epochs
        self._least_seconds_between = least_seconds_between
        self._agree = agree
        self._last_evaluation = -float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        progress = self._progress
        is_last = epoch + 1 >= self._num_epochs
        is_due = self._agree(time.monotonic() - self._last_evaluation >= self._least_seconds_between)
        progress.evaluated, progress.improved = is_due or is_last, False
        if not progress.evaluated:
            return
        metrics = dict(self._evaluate())
        self._last_evaluation = time.monotonic()
        progress.num_evaluations += 1
        value = metrics[self._metric]
        progress.last_metrics = metrics
        progress.improved = not math.isnan(value) and self._is_better(metrics)
        if progress.improved:
            progress.best_value, progress.best_metrics = value, metrics
            progress.best_epoch, progress.best_step = epoch + 1, progress.step
        logs.update({f"val_{name}": number for name, number in metrics.items()})

    def _is_better(self, metrics: Mapping[str, float]) -> bool:
        """Whether these values are better than the best ones so far."""
        progress, value = self._progress, self._sign * metrics[self._metric]
        if progress.best_value is None:
            return True
        best = self._sign * progress.best_value
        set_name, slash, _ = self._metric.partition("/")
        loss = f"{set_name}/loss" if f"{set_name}{slash}loss" in metrics else "loss"
        return value < best or (value == best and metrics[loss] < progress.best_metrics[loss])
