"""Reads `confusion_matrix.csv`, which an experiment may leave in its folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expman.reports.number_text import number_text

_MOST_CLASSES = 100


class ConfusionMatrixError(Exception):
    """The file is no confusion matrix; the message tells why."""


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of how often samples of each class were taken for each.

    Attributes:
        labels: of the classes.
        counts: [true class][predicted class].
    """

    labels: Sequence[str]
    counts: Sequence[Sequence[float]]

    @property
    def accuracy(self) -> float:
        """The share of the samples on the diagonal; NaN of an empty matrix."""
        total = sum(map(sum, self.counts))
        return sum(row[index] for index, row in enumerate(self.counts)) / total if total else math.nan

    def rows(self) -> list[tuple[str, list[tuple[str, float]], str]]:
        """For each true class its label, (count, share of the class) of each prediction, and its recall."""
        found = []
        for index, (label, row) in enumerate(zip(self.labels, self.counts)):
            total = sum(row)
            shares = [count / total if total else 0.0 for count in row]
            found.append((label, [(number_text(count), share) for count, share in zip(row, shares)],
                          f"{shares[index]:.1%}" if total else ""))
        return found


def read_confusion_matrix(path: Path) -> ConfusionMatrix:
    """Reads a square table of counts, a row a true class, a column a predicted one.

    The first row and the first column may hold the labels (their common corner anything); without, classes are 0, 1 …

    Raises:
        ConfusionMatrixError: the file cannot be read or is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfusionMatrixError(str(error)) from error
    labels = [str(index) for index in range(len(rows))]
    if rows and len(rows) == len(rows[0]) and len(rows) > 1 and not all(map(_is_count, [*rows[0], *(row[0] for row in rows)])):
        labels, rows = rows[0][1:], [row[1:] for row in rows[1:]]
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ConfusionMatrixError("it is not square: it needs a row and a column for each class")
    if len(rows) == 1:
        raise ConfusionMatrixError("it needs at least two classes")
    if len(rows) > _MOST_CLASSES:
        raise ConfusionMatrixError(f"it has {len(rows)} classes; at most {_MOST_CLASSES} can be shown")
    wrong = next((cell for row in rows for cell in row if not _is_count(cell)), None)
    if wrong is not None:
        raise ConfusionMatrixError(f"'{wrong}' is not a count")
    return ConfusionMatrix(labels=labels, counts=[[float(cell) for cell in row] for row in rows])


def _is_count(cell: str) -> bool:
    try:
        return 0 <= float(cell) < math.inf
    except ValueError:
        return False
