"""Reads `metrics.csv`: a row an epoch, a column for each quantity."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

FIRST_COLUMNS = ("epoch", "step", "seconds", "learning_rate")


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

    def points(self, column: str) -> tuple[list[int], list[float]]:
        """The epochs, from 1, in which a quantity was measured, and its values, of which some may be NaN."""
        if column not in self.columns:
            return [], []
        epoch, index = self.columns.index("epoch"), self.columns.index(column)
        measured = [row for row in self.rows if row[index]]
        return [int(row[epoch]) for row in measured], [_number(row[index]) for row in measured]

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
        with open(path, newline="", encoding="utf-8") as stream:
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
    except ValueError as error:
        raise MetricsTableError(str(error)) from error
    return MetricsTable(columns=columns, rows=tuple(rows), total_seconds=total_seconds)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
