"""Reads `metrics.csv`: a row an epoch or evaluation, a column for each quantity."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from expman.records.epochs_done import EPOCHS_DONE, epochs_done

FIRST_COLUMNS = ("epoch", "step", EPOCHS_DONE, "seconds", "learning_rate")


class MetricsTableError(Exception):
    """The table is damaged; the message tells where."""


@dataclass(frozen=True)
class MetricsTable:
    """The numbers of all epochs.

    Attributes:
        columns: their names, 'epoch' and 'seconds' among them.
        rows: the cells as they are written; '' where an epoch had no such number.
        total_seconds: the sum of the column 'seconds'.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total_seconds: float

    def values(self, column: str) -> list[float]:
        """A column as numbers; NaN where an epoch has none or where the cell is no number."""
        index = self.columns.index(column)
        return [_number(row[index]) for row in self.rows]

    def points(self, column: str) -> tuple[list[float], list[float]]:
        """After how many epochs a quantity was measured, 1.25 for a quarter of the second, and its values, some maybe NaN."""
        if column not in self.columns:
            return [], []
        index = self.columns.index(column)
        measured = [(place, row[index]) for place, row in zip(self._places(), self.rows) if row[index] and place is not None]
        return [place for place, _ in measured], [_number(cell) for _, cell in measured]

    def _places(self) -> list[float | None]:
        """For each row the epochs done then; None while that is unknown."""
        return [epochs_done(dict(zip(self.columns, row))) for row in self.rows]

    @property
    def curves(self) -> tuple[str, ...]:
        """The columns that a training measures: losses and metrics."""
        return tuple(column for column in self.columns if column not in FIRST_COLUMNS)


def read_metrics_table(path: Path) -> MetricsTable:
    """Reads a table and checks that it is whole.

    Raises:
        MetricsTableError: the file cannot be read, has a row that was cut or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            columns, *rows = map(tuple, csv.reader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetricsTableError(str(error)) from error
    except ValueError as error:
        raise MetricsTableError("it is empty") from error
    missing = [name for name in ("epoch", "seconds") if name not in columns]
    if missing:
        raise MetricsTableError(f"it has no column {' and '.join(missing)}")
    if any(len(row) != len(columns) for row in rows):
        number = next(number for number, row in enumerate(rows, start=2) if len(row) != len(columns))
        raise MetricsTableError(f"line {number} has {len(rows[number - 2])} cells instead of {len(columns)}")
    seconds, epoch = columns.index("seconds"), columns.index("epoch")
    try:
        total_seconds = sum(float(row[seconds]) for row in rows)
        for row in rows:
            int(row[epoch])
            epochs_done(dict(zip(columns, row)))
    except ValueError as error:
        raise MetricsTableError(str(error)) from error
    return MetricsTable(columns=columns, rows=tuple(rows), total_seconds=total_seconds)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
