"""Ends the windows of a time series where time jumps, as at the end of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf

from data_pipelines.checks import at_least
from data_pipelines.csv.faults import CsvError
from data_pipelines.csv.parsing import CsvCells
from data_pipelines.csv.table import CsvColumn, CsvTable, column_label, positions_of


@dataclass(frozen=True)
class TimeColumn:
    """The column that tells the time of each row: numbers of seconds, or dates and times as in ISO 8601.

    Arguments:
        column: where it is.
    """

    column: CsvColumn

    def seconds(self, cells: CsvCells, cell_at: Callable[[int, int], tuple[int, str]]) -> np.ndarray:
        """The times of rows in seconds from a common start, float64 `[rows]`.

        Arguments:
            cells: the rows.
            cell_at: (row, position) → line and text of a cell.

        Raises:
            CsvError: a cell is no time.
        """
        position = self.column.position
        if self.column.kind == "number":
            return cells.numbers([position])[:, 0]
        texts = [text.decode().strip() for text in cells.text(position)]
        try:
            return np.array(texts, np.float64)
        except ValueError:
            times = pd.to_datetime(pd.Series(texts, dtype=str), format="ISO8601", utc=True, errors="coerce")
        if times.isna().any():
            line, cell = cell_at(int(np.argmax(times.isna())), position)
            raise CsvError(line, f"{self.column.label}: {cell!r} is no time for max_gap_seconds. Expected: seconds, or "
                                 "2024-01-31 23:59:59 (ISO 8601).")
        return ((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy(np.float64)


def with_time(table: CsvTable, *, names: list[str] | None, time_column: int | str | None,
              max_gap_seconds: float | None) -> tuple[CsvTable, TimeColumn | None]:
    """A table with the column of the time among those that are read, and that column; None where gaps do not count.

    Arguments:
        table: the columns that are read without.
        names: of all columns of the files; None where they have none.
        time_column: name, or place in the file from 0, of the column.
        max_gap_seconds: the longest time from a row to the next; None: gaps do not count.

    Raises:
        ValueError: the gap is negative, or the column is not named or does not exist.
    """
    if max_gap_seconds is None:
        return table, None
    at_least("max_gap_seconds", max_gap_seconds, 0)
    if time_column is None:
        raise ValueError(f"max_gap_seconds={max_gap_seconds} needs time_column, the name or place of the column with the time.")
    position, = positions_of("time_column", [time_column], names, table.num_columns)
    known = [column for column in table.columns if column.position == position]
    column = known[0] if known else CsvColumn(position, column_label(position, names), "text")
    return dataclasses.replace(table, columns=table.columns if known else (*table.columns, column)), TimeColumn(column)


def split_at_gaps(pieces: tf.data.Dataset, *, max_gap_seconds: float) -> tf.data.Dataset:
    """Parts pieces where the time from a row to the next is longer, or negative: each part then counts as a new file.

    Arguments:
        pieces: (starts a file, is readable, features, labels, times in seconds float64 `[rows]`), see `csv_pieces`.

    Returns:
        A dataset of (starts a file or a part, is readable, features, labels); after a piece that is not readable, no piece of
        its file is.
    """
    def marked(state: tuple[tf.Tensor, tf.Tensor], piece: tuple[tf.Tensor, ...]) -> tuple[tuple, tuple]:
        last_time, was_broken = state
        starts_file, is_readable, features, labels, times = piece
        is_broken = (was_broken & ~starts_file) | ~is_readable
        times = tf.concat([[tf.where(starts_file, np.float64(np.nan), last_time)], times], axis=0)
        steps = times[1:] - times[:-1]
        starts_part = ~((steps >= 0) & (steps <= max_gap_seconds))
        return (times[-1], is_broken), (starts_file, ~is_broken, features, labels, starts_part)

    def parts(starts_file: tf.Tensor, is_readable: tf.Tensor, features: tf.Tensor, labels: tf.Tensor,
              starts_part: tf.Tensor) -> tf.data.Dataset:
        num_rows = tf.shape(features, tf.int64)[0]
        limits = tf.concat([[np.int64(0)], tf.where(starts_part)[:, 0], [num_rows]], axis=0)
        return tf.data.Dataset.range(tf.size(limits, tf.int64) - 1).map(lambda index: (
            starts_file | (index > 0), is_readable, *(rows[limits[index]:limits[index + 1]] for rows in (features, labels))))

    return pieces.scan((tf.constant(np.nan, tf.float64), tf.constant(False)), marked).flat_map(parts)
