"""Estimates how long the training will take, and how much memory it needs."""

from __future__ import annotations

import math
import resource
import sys
import time

import keras
import tensorflow as tf

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.fitting import fit_steps
from expman.dry_run.quantities import duration, size
from expman.training.data.input_data import InputData
from expman.training.distribution.replica_batches import passes
from expman.training.steps.weights_averaging import notice_of_short_training

_MEASURED_SECONDS = 2.0
_MOST_STEPS = 1_000_000
_STEPS_SHOWN = 1_000


def check_cost(run: DryRun) -> Finding:
    """Trains on the user's own data for about two seconds, as many steps an execution as a training would choose."""
    timer = _StepTimer()
    fit_steps(run.estimator.model, run.train_data.dataset.repeat(), steps_per_execution=run.steps_per_execution,
              num_steps=_MOST_STEPS, callback=timer)
    return Finding(_duration(run, step_seconds=timer.seconds_per_step), (*_memory(run), *_averages(run)))


def _averages(run: DryRun) -> list[str]:
    settings, steps = run.settings, run.train_data.steps_per_epoch
    if not settings.predict_using_smoothed_parameters or steps is None:
        return []
    notice = notice_of_short_training(decay=settings.weights_moving_average_decay, num_steps=steps * settings.nbEpoch)
    return [notice] if notice else []


class _StepTimer(keras.callbacks.Callback):
    """Measures the seconds that a step takes, the first execution, which compiles and fills buffers, left out."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds_per_step = float("nan")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._start: tuple[float, int] | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        step = int(self.model.optimizer.iterations.numpy())  # reading it waits for the device
        if self._start is None:
            self._start = (time.perf_counter(), step)
            return
        seconds = time.perf_counter() - self._start[0]
        self.seconds_per_step = seconds / (step - self._start[1])
        self.model.stop_training = seconds >= _MEASURED_SECONDS


def _duration(run: DryRun, *, step_seconds: float) -> str:
    steps = run.train_data.steps_per_epoch
    if steps is None:
        return (f"{duration(_STEPS_SHOWN * step_seconds)} for {_STEPS_SHOWN:,} steps; the data do not tell how many are an "
                "epoch")
    num_evaluations = -(-steps // (run.settings.eval_every_steps or steps))
    epoch_seconds = steps * step_seconds + num_evaluations * _evaluation_seconds(run, step_seconds=step_seconds)
    total_seconds = run.settings.nbEpoch * epoch_seconds
    text = f"{duration(epoch_seconds)} an epoch, {duration(total_seconds)} for all {run.settings.nbEpoch} epochs"
    if run.export_seconds is None:
        return text
    return f"{text}, and up to {duration(run.settings.nbEpoch * run.export_seconds)} for exports"


def _evaluation_seconds(run: DryRun, *, step_seconds: float) -> float:
    """The time of an evaluation on all validation data."""
    return sum(_seconds_on(data, run, step_seconds=step_seconds)
               for data in (run.validation_data, *run.validation_sets.values()))


def _seconds_on(data: InputData, run: DryRun, *, step_seconds: float) -> float:
    """Measures some batches of validation data, as many as take about as long as the training was measured."""
    affordable = max(1, int(_MEASURED_SECONDS / step_seconds))
    num_batches = min(affordable, data.steps_per_epoch or affordable)
    start = time.perf_counter()
    model = run.estimator.model
    model.measure(passes(data.dataset.take(num_batches), strategy=model.distribute_strategy))
    return (time.perf_counter() - start) * (data.steps_per_epoch or num_batches) / num_batches


def _memory(run: DryRun) -> list[str]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    model = run.estimator.model
    num_trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    lines = [f"{num_trainable:,} trainable parameters; peak memory of this process {size(peak)}"]
    for index, device in enumerate(tf.config.list_logical_devices("GPU")):
        gpu_peak = tf.config.experimental.get_memory_info(f"GPU:{index}")["peak"]
        lines.append(f"peak memory of {device.name} {size(gpu_peak)}")
    return lines
