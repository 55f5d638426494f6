"""Writes a row an epoch, and one for each evaluation within it, into `metrics.csv`."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from expman.errors import ExperimentFolderError
from expman.records.epochs_done import EPOCHS_DONE
from expman.records.experiment_folder import write_atomically
from expman.training.progress import TrainingProgress

_FIRST_COLUMNS = ("epoch", "step", "seconds", "learning_rate", "loss")


class MetricsCsv(keras.callbacks.Callback):
    """Keeps a table of all epochs: epoch, step, seconds, learning_rate, loss, val_loss, val_<metric> ….

    With rows of evaluations within epochs, there is a column `epochs_done`, too: 1.25 after a quarter of the second epoch. The
    losses of such a row are means since the epoch began, its seconds those since the row before.

    A column is added when a metric first appears; an epoch without evaluation leaves the cells of the metrics empty. Rows
    that a restart computes again replace the older ones. The file is replaced as a whole, never left half written.

    Arguments:
        file: the CSV file.
        progress: read for the step.
        has_parts: whether there are evaluations within epochs.
        steps_per_epoch: None while it is unknown: then the parts of an epoch are known at its end.
    """

    def __init__(self, *, file: Path, progress: TrainingProgress, has_parts: bool = False, steps_per_epoch: int | None = None
                 ) -> None:
        super().__init__()
        self._has_parts = has_parts
        self._steps_per_epoch = steps_per_epoch
        self._file = file
        self._progress = progress
        self._rows: list[dict[str, str]] = []
        self._last_time = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._rows = []
        if self._file.exists():
            self._rows = [row for row in self._read() if int(row["step"]) <= self._progress.step]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._last_time = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        progress = self._progress
        if progress.evaluated:
            self._add(progress.running_epoch, {
                "learning_rate": progress.evaluated_learning_rate, **self.model.epoch_sums.means_of_epoch(),
                **{f"val_{name}": value for name, value in progress.last_metrics.items()}})
            if self._steps_per_epoch:
                self._place_in_epochs(progress.running_epoch, num_steps=self._steps_per_epoch)
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._add(epoch + 1, {"learning_rate": float(self.model.optimizer.learning_rate.numpy()), **logs})
        if self._has_parts:
            self._place_in_epochs(epoch + 1, num_steps=self._steps_per_epoch)
        self._write()

    def _read(self) -> list[dict[str, str]]:
        try:
            with self._file.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            for row in rows:
                int(row["step"]), int(row["epoch"]), float(row["seconds"])
                if None in row or None in row.values():
                    raise ValueError(f"the row of step {row['step']} has not as many cells as the header")
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise ExperimentFolderError(f"{self._file} is damaged ({type(error).__name__}: {error}). Restore it from a copy, or "
                                        "remove it: the table then begins where the training goes on.") from error
        return rows

    def _add(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Adds a row; it replaces one of the same step, whose time it takes over."""
        now, step = time.monotonic(), self._progress.step
        seconds = now - self._last_time
        if self._rows and (self._rows[-1]["epoch"], self._rows[-1]["step"]) == (str(epoch), str(step)):
            seconds += float(self._rows.pop()["seconds"])
        row = {"epoch": epoch, "step": step, "seconds": f"{seconds:.3f}", **values}
        self._rows.append({name: str(value) for name, value in row.items()})
        self._last_time = now

    def _place_in_epochs(self, epoch: int, *, num_steps: int | None) -> None:
        """Tells for each row of the present epoch how many epochs were done; `num_steps` None: the epoch ends here."""
        before = max((int(row["step"]) for row in self._rows if int(row["epoch"]) < epoch), default=0)
        num_steps = num_steps or max(1, self._progress.step - before)
        for row in self._rows:
            if int(row["epoch"]) == epoch:
                row[EPOCHS_DONE] = f"{epoch - 1 + min(1, (int(row['step']) - before) / num_steps):.6g}"

    def _write(self) -> None:
        first_columns = [*_FIRST_COLUMNS[:2], *([EPOCHS_DONE] if self._has_parts else []), *_FIRST_COLUMNS[2:]]
        columns = list(dict.fromkeys([*first_columns, *(name for row in self._rows for name in row)]))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._file, table.getvalue())
