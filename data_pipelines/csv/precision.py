"""Tells of numbers that a type of floating-point numbers does not hold, such as identifiers and times in seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np

from data_pipelines.csv.faults import CsvError
from data_pipelines.csv.table import CsvTable

_LEAST_CHANGED = 1 << 24
_LEAST_CHANGED_BY_PARSING = 1 << 53
_LOG = logging.getLogger(__name__)


class PrecisionNotices:
    """Warns, once a column, of the first whole number that comes out as another one; refuses numbers that come out infinite.

    Arguments:
        table: the columns.
        positions: of the columns of numbers that become features or labels as they are.
        dtype: of the features or labels.
    """

    def __init__(self, table: CsvTable, positions: Sequence[int], dtype: type[np.floating]) -> None:
        self._label_of = {column.position: column.label for column in table.columns if column.position in set(positions)}
        self._waiting = set(positions)
        self._dtype = np.dtype(dtype)
        self._lock = threading.Lock()

    def look_at(self, path: str, numbers_of: Callable[[int], np.ndarray], cell_at: Callable[[int, int], tuple[int, str]]) -> None:
        """Looks at the rows of a piece.

        Arguments:
            path: of the file.
            numbers_of: position of a column → its numbers, float64 `[rows]`.
            cell_at: (row, position) → line and text of a cell; slow.

        Raises:
            CsvError: a number is too large for the type.
        """
        for position, label in self._label_of.items():
            numbers = numbers_of(position)
            with np.errstate(over="ignore"):
                kept = numbers.astype(self._dtype)
            if np.isinf(kept).any():
                line, cell = cell_at(int(np.argmax(np.isinf(kept))), position)
                raise CsvError(line, f"{label}: {cell!r} is too large for {self._dtype}. Bring it to another unit, or set "
                                     "dtype='float64'.")
            if position not in self._waiting:
                continue
            with np.errstate(invalid="ignore"):
                doubtful = (np.abs(numbers) > _LEAST_CHANGED) & (numbers == np.floor(numbers)) & (
                    (kept != numbers) | (np.abs(numbers) >= _LEAST_CHANGED_BY_PARSING))
            if not doubtful.any():
                continue
            row = int(np.argmax(doubtful))
            with self._lock:
                is_first = position in self._waiting
                self._waiting.discard(position)
            cell = cell_at(row, position)[1].strip()
            if is_first and cell.lstrip("+-").isdecimal() and int(cell) != int(kept[row]):
                self._warn(path, label, cell, int(kept[row]))

    def _warn(self, path: str, label: str, cell: str, kept: int) -> None:
        remedy = "dtype='float64' keeps up to 2^53, a" if self._dtype == np.float32 else "A"
        _LOG.warning("%s: %s: the whole number %s becomes %d in %s. %s normaliser (mean, deviation) keeps the differences, a "
                     "VocabularyColumn or a text label each digit.", path, label, cell, kept, self._dtype, remedy)
