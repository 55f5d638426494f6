"""Shows the progress of a training: a live line on a terminal; elsewhere one line an epoch, and more in one of unknown length."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

import keras

from expman.training.progress import TrainingProgress

_SECONDS_BETWEEN_UPDATES = 0.2
_SECONDS_BETWEEN_LINES = 10.0
_SMALLEST_PART = 1e-3  # of what is to do that must be done, beside the first steps, before the rest is foretold


class ConsoleProgress(keras.callbacks.Callback):
    """Prints epoch, losses, metrics, and the time left at the speed since the first steps, which take the start's time, too.

    Arguments:
        progress: the counters of the training.
        num_epochs: epochs of the whole training.
        steps_per_epoch: steps of an epoch; None when the data do not tell and `nb_train_samples` does not either.
        stream: where to print; standard output by default.
    """

    def __init__(self, *, progress: TrainingProgress, num_epochs: int, steps_per_epoch: int | None,
                 stream: TextIO | None = None) -> None:
        super().__init__()
        self._progress = progress
        self._num_epochs = num_epochs
        self._steps_per_epoch = steps_per_epoch
        self._stream = stream or sys.stdout
        self._is_live = self._stream.isatty()
        # Where no line can be rewritten, only an epoch that may never end needs more than the line at its end.
        self._seconds_between = _SECONDS_BETWEEN_UPDATES if self._is_live else (
            float("inf") if steps_per_epoch else _SECONDS_BETWEEN_LINES)
        self._epoch_start = self._last_update = 0.0
        self._first_steps: tuple[float, float] | None = None  # when they were done, and the epochs done by then

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._first_steps = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch_start = time.monotonic()
        if not self._is_live:
            self._last_update = self._epoch_start

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._first_steps is None and self._steps_per_epoch:
            self._first_steps = time.monotonic(), self._progress.epoch + self._progress.step_in_epoch / self._steps_per_epoch
        if self._progress.evaluated:
            self._show_evaluation()
            return
        now = time.monotonic()
        if now - self._last_update < self._seconds_between:
            return
        self._last_update = now
        done = self._progress.step_in_epoch
        of_all = f"/{self._steps_per_epoch}" if self._steps_per_epoch else "" if self._is_live else " of an unknown number,"
        fraction = done / self._steps_per_epoch if self._steps_per_epoch else 0.0
        self._show(f"{self._epoch_label()} step {done}{of_all} loss {float(logs['loss']):.4g}"
                   f"{self._time_left(self._progress.epoch + fraction)}")
        self._end_line()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = " ".join(f"{name} {value:.4g}" for name, value in logs.items())
        star = " *" if self._progress.improved else ""
        seconds = time.monotonic() - self._epoch_start
        self._show(f"{self._epoch_label(epoch + 1)} {seconds:.1f}s {values}{star}{self._time_left(epoch + 1)}")
        self._end_line()

    def _show_evaluation(self) -> None:
        """A line for an evaluation within an epoch."""
        values = {**self.model.epoch_sums.means_of_epoch(),
                  **{f"val_{name}": value for name, value in self._progress.last_metrics.items()}}
        shown = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        star = " *" if self._progress.improved else ""
        self._show(f"{self._epoch_label()} step {self._progress.step_in_epoch} {shown}{star}")
        self._end_line()
        self._last_update = time.monotonic()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._is_live:
            self._stream.write("\n")

    def _end_line(self) -> None:
        if not self._is_live:
            self._stream.write("\n")
        self._stream.flush()

    def _epoch_label(self, epoch: int | None = None) -> str:
        return f"epoch {epoch or self._progress.epoch + 1}/{self._num_epochs}"

    def _time_left(self, epochs_done: float) -> str:
        """The end of a line; '' while nothing but the first steps is done, and at the end."""
        since, done_before = self._first_steps or (time.monotonic(), epochs_done)
        done, to_do = epochs_done - done_before, self._num_epochs - epochs_done
        if done < _SMALLEST_PART * to_do or to_do <= 0:
            return ""
        return f", {_duration((time.monotonic() - since) / done * to_do)} left"

    def _show(self, line: str) -> None:
        if self._is_live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{line[:width]:<{width}}")
            self._stream.flush()
        else:
            self._stream.write(line)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
