"""Reads CSV files through pandas, piece by piece, in parallel, with errors that name file, line and column."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from data_pipelines.csv.faults import CsvError, cell_of
from data_pipelines.csv.gaps import TimeColumn
from data_pipelines.csv.parsing import CsvCells, CsvParser, end_of_rows, in_utf_8
from data_pipelines.csv.precision import PrecisionNotices
from data_pipelines.csv.table import CsvTable, check_header
from data_pipelines.unreadable_files import UnreadableFileError, UnreadableFiles

DTYPES = ("float32", "float64")
LONGEST_ROW_BYTES = 1 << 26
"""A row that is longer has a quote without partner."""
_COUNT_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class RowEncoding:
    """Turns the cells of rows into features and labels.

    Arguments:
        encode: a pure function from cells to features `[rows, features_width]` and labels `[rows, labels_width]`.
        features_width: number of columns of the features.
        labels_width: number of columns of the labels.
        labels_dtype: of the labels.
        features_dtype: of the features, float32 or float64.
        plain_positions: of the columns of numbers that become features or labels without a change but that of their type.
        time_column: whose times follow the labels of a piece; None: there are none.
    """

    encode: Callable[[CsvCells], tuple[np.ndarray, np.ndarray]]
    features_width: int
    labels_width: int
    labels_dtype: tf.DType
    features_dtype: tf.DType = tf.float32
    plain_positions: Sequence[int] = ()
    time_column: TimeColumn | None = None


def csv_pieces(paths: tf.Tensor, table: CsvTable, encoding: RowEncoding, *, unreadable: UnreadableFiles,
               piece_bytes: int) -> tf.data.Dataset:
    """Reads the rows of all files, file after file, in pieces; an empty file gives a piece without rows.

    Arguments:
        paths: of the files, string `[files]`.
        table: their form and the columns to read.
        encoding: what is made of the cells.
        unreadable: what to do with files that cannot be read. Of a skipped one, the pieces before the fault come out.
        piece_bytes: text of a piece, about.

    Returns:
        A dataset of (starts a file: bool, is readable: bool, features, labels), and with a `time_column` the times in seconds,
        float64 `[rows]`.
    """
    source = _CsvSource(table, encoding, unreadable, piece_bytes)
    num_files = tf.size(paths)
    padded_paths = tf.concat([paths, [""]], axis=0)

    def next_piece(state: tuple[tf.Tensor, tf.Tensor], _: tf.Tensor) -> tuple[tuple, tuple]:
        place, offset = state
        path = padded_paths[place]
        limits = tf.numpy_function(source.limits_of_piece, [path, offset], (tf.int64, tf.int64, tf.bool), stateful=False)
        start, end, is_last = (tf.ensure_shape(limit, []) for limit in limits)
        next_state = (place + tf.cast(is_last, tf.int32), tf.where(is_last, tf.zeros_like(end), end))
        return next_state, (place < num_files, path, start, end, offset == 0)

    def parsed(_: tf.Tensor, path: tf.Tensor, start: tf.Tensor, end: tf.Tensor, starts_file: tf.Tensor) -> tuple[tf.Tensor, ...]:
        is_readable, features, labels, times = tf.numpy_function(
            source.parse_piece, [path, start, end], (tf.bool, encoding.features_dtype, encoding.labels_dtype, tf.float64),
            stateful=False)
        piece = (starts_file, tf.ensure_shape(is_readable, []), tf.ensure_shape(features, [None, encoding.features_width]),
                 tf.ensure_shape(labels, [None, encoding.labels_width]))
        return piece if encoding.time_column is None else (*piece, tf.ensure_shape(times, [None]))

    pieces = tf.data.Dataset.counter().scan((tf.constant(0), tf.constant(0, tf.int64)), next_piece)
    pieces = pieces.take_while(lambda is_left, path, start, end, starts_file: is_left)
    return pieces.map(parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


class _CsvSource:
    """The two steps that are Python's: cutting a file into pieces of whole rows, and parsing a piece."""

    def __init__(self, table: CsvTable, encoding: RowEncoding, unreadable: UnreadableFiles, piece_bytes: int) -> None:
        self._table = table
        self._parser = CsvParser(table)
        self._encoding = encoding
        self._unreadable = unreadable
        self._piece_bytes = piece_bytes
        self._notices = PrecisionNotices(table, encoding.plain_positions, encoding.features_dtype.as_numpy_dtype)

    def limits_of_piece(self, path: bytes, offset: np.int64) -> tuple[np.int64, np.int64, np.bool_]:
        """The bytes where the piece from an offset on starts (at 0 the header is left out) and ends, and if it is the last.

        An empty path, after the last file, has none.
        """
        limits = path and self._unreadable.read(lambda path: self._limits(path, int(offset)), os.fsdecode(path))
        start, end, is_last = limits or (offset, offset, True)
        return np.int64(start), np.int64(end), np.bool_(is_last)

    def _limits(self, path: str, offset: int) -> tuple[int, int, bool]:
        with open(path, "rb") as file:
            if offset == 0:
                check_header(path, self._table.format.skip_header(file), self._table.header)
            else:
                file.seek(offset)
            start = file.tell()
            try:
                num_bytes, is_last = _whole_rows(file, self._piece_bytes)
            except CsvError as fault:
                raise _placed(path, start, fault) from fault
        return start, start + num_bytes, is_last

    def parse_piece(self, path: bytes, start: np.int64, end: np.int64
                    ) -> tuple[np.bool_, np.ndarray, np.ndarray, np.ndarray]:
        """Returns the features, labels and times of a piece, and whether it could be read; without rows if it could not."""
        def parse(path: str) -> tuple[CsvCells, np.ndarray]:
            with open(path, "rb") as file:  # again: a tensor of its text would be copied four times
                file.seek(start)
                text = file.read(end - start)
            try:
                text = in_utf_8(text, self._table.format)
                cells = self._parser.parse(text)
                cell_at = functools.partial(cell_of, text, self._table)
                self._notices.look_at(path, lambda position: cells.numbers([position])[:, 0], cell_at)
                times = self._encoding.time_column and self._encoding.time_column.seconds(cells, cell_at)
            except CsvError as fault:
                raise _placed(path, int(start), fault) from fault
            return cells, np.zeros(0) if times is None else times

        encoding = self._encoding
        parsed = self._unreadable.read(parse, os.fsdecode(path))
        if parsed is None:
            return (np.False_, np.zeros([0, encoding.features_width], encoding.features_dtype.as_numpy_dtype),
                    np.zeros([0, encoding.labels_width], encoding.labels_dtype.as_numpy_dtype), np.zeros(0))
        cells, times = parsed
        return np.True_, *encoding.encode(cells), times


def _whole_rows(file: BinaryIO, num_bytes: int) -> tuple[int, bool]:
    """About a number of bytes from where a file stands to the end of a row, a longer row whole, and whether the file ends."""
    text = b""
    while num_bytes <= LONGEST_ROW_BYTES:
        text += file.read(num_bytes - len(text))
        if len(text) < num_bytes:
            return len(text), True
        end = end_of_rows(text)
        if end:
            return end, False
        num_bytes *= 2
    raise CsvError(0, f"no row ends in the {len(text) >> 20} MiB from here. Look for a double quote without a partner.")


def _placed(path: str, start: int, fault: CsvError) -> UnreadableFileError:
    """The error for a fault in the text that starts at a byte of a file."""
    with open(path, "rb") as file:
        num_lines = sum(file.read(min(_COUNT_BYTES, start - done)).count(b"\n") for done in range(0, start, _COUNT_BYTES))
    return UnreadableFileError(path, f"line {num_lines + fault.line + 1}: {fault}")
