"""Writes one row an epoch into `metrics.csv`."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import keras

from expman.experiment_folder import write_atomically
from expman.training.progress import TrainingProgress

_FIRST_COLUMNS = ("epoch", "step", "seconds", "learning_rate", "loss")


class MetricsCsv(keras.callbacks.Callback):
    """Keeps a table of all epochs: epoch, step, seconds, learning_rate, loss, val_loss, val_<metric> …

    A column is added when a metric first appears; an epoch without evaluation leaves the cells of the metrics empty. Rows
    that a restart computes again replace the older ones. The file is replaced as a whole, never left half written.

    Arguments:
        file: the CSV file.
        progress: read for the step.
    """

    def __init__(self, *, file: Path, progress: TrainingProgress) -> None:
        super().__init__()
        self._file = file
        self._progress = progress
        self._rows: list[dict[str, str]] = []
        self._epoch_start = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._rows = []
        if self._file.exists():
            with open(self._file, newline="", encoding="utf-8") as stream:
                self._rows = [row for row in csv.DictReader(stream) if int(row["epoch"]) <= self._progress.epoch]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch_start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row = {"epoch": epoch + 1, "step": self._progress.step, "seconds": f"{time.monotonic() - self._epoch_start:.3f}",
               "learning_rate": float(self.model.optimizer.learning_rate.numpy()), **logs}
        self._rows.append({name: str(value) for name, value in row.items()})
        columns = list(dict.fromkeys([*_FIRST_COLUMNS, *(name for row in self._rows for name in row)]))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._file, table.getvalue())
