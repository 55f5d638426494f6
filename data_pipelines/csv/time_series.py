"""Blocks of successive rows from CSV files, for time series."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.checks import file_list, one_of, whole_number
from data_pipelines.csv.defaults import CellDefault, cell_defaults
from data_pipelines.csv.gaps import split_at_gaps, with_time
from data_pipelines.csv.parsing import CsvCells
from data_pipelines.csv.reading import DTYPES, RowEncoding, csv_pieces
from data_pipelines.csv.table import CsvColumn, CsvFormat, CsvTable, column_label, first_header, positions_of
from data_pipelines.csv.windows import piece_bytes_for, window_batches, windows_of_rows
from data_pipelines.unreadable_files import UnreadableFiles


def FileListProcessor_csv_time_series(  # noqa: N802  (users' interface)
        files: Iterable[str | os.PathLike[str]], *, nblines_per_block: int, batch_size: int, csv_field_delim: str = ",",
        record_defaults_values: Sequence[Any] | None = None, na_value_string: str = "N/A", labels_cols_nb: int = 1,
        selected_cols: Sequence[int | str] | None = None, windows_shift: int | None = None, header_lines: int = 1,
        per_sample_preprocess_fn: Callable[..., Any] | None = None, shuffle_batches: bool = False, shuffle_buffer: int = 1000,
        seed: int | None = None, drop_remainder: bool = False, cache: bool | str | os.PathLike[str] = False,
        on_unreadable_file: str = "raise", decimal: str = ".", encoding: str = "utf-8",
        dtype: str = "float32", time_column: int | str | None = None, max_gap_seconds: float | None = None) -> tf.data.Dataset:
    """Makes batches of blocks of successive rows, with the first columns as labels.

    A block never crosses two files, and rows at the end of a file that fill no block are left out. Files may be larger than
    memory. A cell with the delimiter or a line break in it stands in double quotes.

    Arguments:
        files: the CSV files, all with the same columns. Some may be empty.
        nblines_per_block: rows of a block.
        batch_size: blocks of a batch.
        csv_field_delim: the character between two cells.
        record_defaults_values: for each selected column, what stands for a missing cell: a number, or a text (label columns
            only), alone or in a list as for `tf.io.decode_csv`. `float('nan')` keeps NaN. `float` or `str` instead of a value
            declares what the column holds and makes a missing cell an error. None: `str` for the labels, `float` for the rest.
        na_value_string: the text of a missing cell. An empty one is missing too, as is NaN in a column of numbers.
        labels_cols_nb: how many of the selected columns, from the first on, are labels.
        selected_cols: the columns to read, in this order, by name or by place in the file from 0. None: all.
        windows_shift: rows from the start of a block to the start of the next. None: `nblines_per_block`.
        header_lines: lines before the first row. The last of them names the columns and must be the same in all files.
        per_sample_preprocess_fn: a TensorFlow function of (block `[nblines_per_block, columns]`, labels
            `[nblines_per_block, labels_cols_nb]`) whose result becomes the sample. It may be random.
        shuffle_batches: whether each pass mixes files (unless cached) and blocks anew.
        shuffle_buffer: among how many blocks the next is drawn, when shuffling.
        seed: of the shuffles; None: derived from `tf.random.set_seed`.
        drop_remainder: whether a last batch with fewer blocks is left out.
        cache: keeps the blocks, before `per_sample_preprocess_fn`: in memory (True) or in files whose names start with a path.
            True makes the passes after the first many times as quick for data that fits in memory.
        on_unreadable_file: 'raise', or 'skip': what comes after the fault is left out, and the file is named in the log.
        decimal: '.' or ',': what separates the fraction of a number; with ',' csv_field_delim is mostly ';'.
        encoding: of the text: 'utf-8', 'latin-1', 'cp1252' … (not UTF-16).
        dtype: of features and of labels that are numbers: 'float32', which holds whole numbers up to 2^24 (a warning names the
            first one that it changes), or 'float64' up to 2^53.
        time_column: the name or place of the column that tells the time of a row: seconds, or dates and times as in ISO 8601. It
            need not be selected.
        max_gap_seconds: the longest time from a row to the next within a block: a longer one, or one that goes back, ends it as
            the end of a file does. None: time is not looked at.

    Returns:
        Batches of (blocks, labels), unless `per_sample_preprocess_fn` makes something else: blocks of `dtype`
        `[batch, nblines_per_block, columns]`, labels string or `dtype` `[batch, nblines_per_block, labels_cols_nb]`.

    Raises:
        ValueError: an argument is not valid, or all files are empty.
        FileNotFoundError: a file does not exist.
        UnreadableFileError: the first header cannot be read. While the dataset is read, what is wrong in a file comes as
            `tf.errors.InvalidArgumentError`, with its path, line, column and value.

    Example:
        dataset = FileListProcessor_csv_time_series(extractFilenames("weather", "*.csv"), nblines_per_block=48, batch_size=32,
                                                    windows_shift=24, shuffle_batches=True, seed=1)
    """
    paths = file_list(files)
    shift = nblines_per_block if windows_shift is None else windows_shift
    for name, value in (("nblines_per_block", nblines_per_block), ("batch_size", batch_size), ("windows_shift", shift),
                        ("shuffle_buffer", shuffle_buffer)):
        whole_number(name, value, 1)
    whole_number("labels_cols_nb", labels_cols_nb, 0)
    form = CsvFormat(delimiter=csv_field_delim, na_value=na_value_string, header_lines=header_lines,
                     decimal=decimal, encoding=encoding)
    one_of("dtype", dtype, DTYPES)
    unreadable = UnreadableFiles(on_unreadable_file)
    header, num_columns = first_header(paths, form, unreadable)
    positions = _selected(selected_cols, header, num_columns, labels_cols_nb)
    names = [column_label(position, header) for position in positions]
    defaults = cell_defaults(record_defaults_values, names, labels_cols_nb)
    table = CsvTable(format=form, header=header, num_columns=num_columns, columns=tuple(
        CsvColumn(position, name, "text" if default.holds_text else "number", allows_missing=default.value is not None)
        for position, name, default in zip(positions, names, defaults)))
    row_encoding = _encoding(positions, defaults, labels_cols_nb, tf.as_dtype(dtype))
    table, time = with_time(table, names=header, time_column=time_column, max_gap_seconds=max_gap_seconds)
    row_encoding = dataclasses.replace(row_encoding, time_column=time)

    def blocks(files: tf.Tensor) -> tf.data.Dataset:
        pieces = csv_pieces(files, table, row_encoding, unreadable=unreadable,
                            piece_bytes=piece_bytes_for(size=nblines_per_block, shift=shift))
        if max_gap_seconds is not None:
            pieces = split_at_gaps(pieces, max_gap_seconds=max_gap_seconds)
        return windows_of_rows(pieces, size=nblines_per_block, shift=shift)

    return window_batches(paths, blocks, per_sample=per_sample_preprocess_fn, cache=cache, batch_size=batch_size, seed=seed,
                          shuffle_buffer=shuffle_buffer if shuffle_batches else 0, drop_remainder=drop_remainder)


def _selected(selected_cols: Sequence[int | str] | None, header: list[str] | None, num_columns: int,
              labels_cols_nb: int) -> list[int]:
    """The places of the selected columns in the file, checked."""
    if isinstance(selected_cols, str):
        raise ValueError(f"selected_cols must be a list of names or places. Got {selected_cols!r}.")
    positions = list(range(num_columns)) if selected_cols is None else positions_of(
        "selected_cols", selected_cols, header, num_columns)
    if len(set(positions)) < len(positions):
        raise ValueError(f"selected_cols names a column twice. Got {selected_cols!r}.")
    if labels_cols_nb >= len(positions):
        raise ValueError(f"labels_cols_nb must be below the number of selected columns, {len(positions)}: {positions}. "
                         f"Got {labels_cols_nb!r}. If the files have more columns, correct csv_field_delim.")
    return positions


def _encoding(positions: Sequence[int], defaults: Sequence[CellDefault], labels_cols_nb: int,
              dtype: tf.DType) -> RowEncoding:
    """Numbers and labels of the rows, with the defaults in the place of missing cells."""
    labels_are_text = any(default.holds_text for default in defaults)
    fills = np.array([np.nan if default.holds_text or default.value is None else default.value for default in defaults])

    def numbers(cells: CsvCells, part: slice) -> np.ndarray:
        found = cells.numbers(positions[part])
        return np.where(np.isnan(found), fills[part], found).astype(dtype.as_numpy_dtype)

    def encode(cells: CsvCells) -> tuple[np.ndarray, np.ndarray]:
        values = numbers(cells, slice(labels_cols_nb, None))
        if not labels_are_text:
            return values, numbers(cells, slice(labels_cols_nb))
        texts = [cells.text(position) for position in positions[:labels_cols_nb]]
        filled = [np.where(text == b"", (default.value or "").encode(), text) for text, default in zip(texts, defaults)]
        return values, np.stack(filled, axis=1)

    return RowEncoding(encode=encode, features_width=len(positions) - labels_cols_nb, labels_width=labels_cols_nb,
                       labels_dtype=tf.string if labels_are_text else dtype, features_dtype=dtype,
                       plain_positions=positions[labels_cols_nb if labels_are_text else 0:])
