"""Rows of named CSV columns as features and labels, for tabular data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.checks import file_list, one_of, whole_number
from data_pipelines.csv.columns import BucketColumn, CsvFeature, NumericColumn, VocabularyColumn
from data_pipelines.csv.gaps import split_at_gaps, with_time
from data_pipelines.csv.parsing import CsvCells
from data_pipelines.csv.reading import DTYPES, RowEncoding, csv_pieces
from data_pipelines.csv.table import CsvColumn, CsvFormat, CsvTable, column_label, first_header, positions_of
from data_pipelines.csv.windows import piece_bytes_for, window_batches, windows_of_rows
from data_pipelines.unreadable_files import UnreadableFiles


def FileListProcessor_csv_lines(  # noqa: N802  (users' interface)
        files: Iterable[str | os.PathLike[str]], *, columns: Sequence[CsvFeature | str],
        label_columns: Sequence[CsvFeature | str], batch_size: int, csv_field_delim: str = ",", na_value_string: str = "N/A",
        column_names: Sequence[str] | None = None, header_lines: int | None = None, samples_window_size: int = 1,
        samples_window_shift: int = 1, features_as_dict: bool = False, shuffle_batches: bool = False,
        shuffle_buffer: int = 10_000, seed: int | None = None, drop_remainder: bool = False,
        cache: bool | str | os.PathLike[str] = False, on_unreadable_file: str = "raise", decimal: str = ".",
        encoding: str = "utf-8", dtype: str = "float32", time_column: int | str | None = None,
        max_gap_seconds: float | None = None) -> tf.data.Dataset:
    """Makes batches of rows, or of windows of successive rows, from named columns.

    A window never crosses two files, and rows at the end of a file that fill no window are left out. Files may be larger than
    memory. A cell with the delimiter or a line break in it stands in double quotes.

    Arguments:
        files: the CSV files, all with the same columns. Some may be empty.
        columns: what becomes features, in this order: `NumericColumn`, `VocabularyColumn`, `BucketColumn`; a plain name is a
            `NumericColumn`. A column may be declared twice, e.g. as number and by buckets.
        label_columns: what becomes labels, declared in the same way: numbers, places in the vocabulary, numbers of buckets.
        batch_size: rows, or windows, of a batch.
        csv_field_delim: the character between two cells.
        na_value_string: the text of a missing cell. An empty one is missing too, as is NaN in a column of numbers.
        column_names: the names of all columns of the files, for files without a header. None: from the header.
        header_lines: lines before the first row; the last of them names the columns, unless `column_names` does, and must be
            the same in all files. None: 1, or 0 with `column_names`.
        samples_window_size: rows of a window. 1: samples are rows.
        samples_window_shift: rows from the start of a window to the start of the next.
        features_as_dict: whether the features are a dict of name → its part of them; the name of a `BucketColumn` ends in
            '_buckets'.
        shuffle_batches: whether each pass mixes files (unless cached) and samples anew.
        shuffle_buffer: among how many samples the next is drawn, when shuffling.
        seed: of the shuffles; None: derived from `tf.random.set_seed`.
        drop_remainder: whether a last batch with fewer samples is left out.
        cache: keeps the samples in memory (True) or in files whose names start with a path.
            True makes the passes after the first many times as quick for data that fits in memory.
        on_unreadable_file: 'raise', or 'skip': what comes after the fault is left out, and the file is named in the log.
        decimal: '.' or ',': what separates the fraction of a number; with ',' csv_field_delim is mostly ';'.
        encoding: of the text: 'utf-8', 'latin-1', 'cp1252' … (not UTF-16).
        dtype: of features and of labels that are numbers: 'float32', which holds whole numbers up to 2^24 (a warning names the
            first one that it changes), or 'float64' up to 2^53.
        time_column: the name or place of the column that tells the time of a row: seconds, or dates and times as in ISO 8601. It
            need not be among `columns`.
        max_gap_seconds: the longest time from a row to the next within a window: a longer one, or one that goes back, ends it as
            the end of a file does. None: time is not looked at.

    Returns:
        Batches of (features, labels): features of `dtype` `[batch, n_features]`, with windows `[batch, window, n_features]`;
        labels `[batch, n_labels]`, with windows `[batch, window, n_labels]`: int64 if all are vocabularies and buckets, else
        numbers of `dtype`.

    Raises:
        ValueError: an argument is not valid, a column does not exist, or all files are empty.
        FileNotFoundError: a file does not exist.
        UnreadableFileError: the first header cannot be read. While the dataset is read, what is wrong in a file comes as
            `tf.errors.InvalidArgumentError`, with its path, line, column and value.

    Example:
        columns = [NumericColumn("age", normaliser=(38.6, 13.7)), VocabularyColumn("sex", ["Male", "Female"]),
                   BucketColumn("hours", [20, 35, 45])]
        dataset = FileListProcessor_csv_lines(["adult.csv"], columns=columns, batch_size=64,
                                              label_columns=[VocabularyColumn("income", ["<=50K", ">50K"])])
    """
    paths = file_list(files)
    for name, value in (("batch_size", batch_size), ("samples_window_size", samples_window_size),
                        ("samples_window_shift", samples_window_shift), ("shuffle_buffer", shuffle_buffer)):
        whole_number(name, value, 1)
    features, labels = _declared("columns", columns), _declared("label_columns", label_columns)
    if header_lines is None:
        header_lines = 1 if column_names is None else 0
    form = CsvFormat(delimiter=csv_field_delim, na_value=na_value_string, header_lines=header_lines,
                     decimal=decimal, encoding=encoding)
    one_of("dtype", dtype, DTYPES)
    unreadable = UnreadableFiles(on_unreadable_file)
    _check_vocabularies([*features, *labels], na_value_string)
    header = None if column_names is not None else _names_in_header(paths, form, unreadable)
    names = list(column_names or header)
    columns_to_read = _columns_to_read(names, features, labels)
    table = CsvTable(format=form, header=header, num_columns=len(names), columns=columns_to_read)
    table, time = with_time(table, names=names, time_column=time_column, max_gap_seconds=max_gap_seconds)
    row_encoding = dataclasses.replace(_encoding(names, features, labels, tf.as_dtype(dtype)), time_column=time)

    def samples(files: tf.Tensor) -> tf.data.Dataset:
        pieces = csv_pieces(files, table, row_encoding, unreadable=unreadable,
                            piece_bytes=piece_bytes_for(size=samples_window_size, shift=samples_window_shift))
        if max_gap_seconds is not None:
            pieces = split_at_gaps(pieces, max_gap_seconds=max_gap_seconds)
        windows = windows_of_rows(pieces, size=samples_window_size, shift=samples_window_shift)
        if samples_window_size > 1:
            return windows
        return windows.map(lambda *parts: tuple(part[:, 0] for part in parts))

    batches = window_batches(paths, samples, per_sample=None, cache=cache, batch_size=batch_size, seed=seed,
                             shuffle_buffer=shuffle_buffer if shuffle_batches else 0, drop_remainder=drop_remainder)
    if not features_as_dict:
        return batches
    names, widths = [column.feature_name for column in features], [column.width for column in features]
    return batches.map(lambda matrix, labels: (dict(zip(names, tf.split(matrix, widths, axis=-1))), labels))


def _declared(argument: str, columns: Sequence[CsvFeature | str]) -> list[CsvFeature]:
    """The columns, plain names as numbers, checked."""
    if isinstance(columns, (str, NumericColumn, VocabularyColumn, BucketColumn)) or not len(columns):
        raise ValueError(f"{argument} must be a list of columns, at least one. Got {columns!r}.")
    declared = [NumericColumn(column) if isinstance(column, str) else column for column in columns]
    wrong = [column for column in declared if not isinstance(column, (NumericColumn, VocabularyColumn, BucketColumn))]
    if wrong:
        raise ValueError(f"{argument} must hold NumericColumn, VocabularyColumn, BucketColumn or names. Got {wrong[0]!r}.")
    names = [column.feature_name for column in declared]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{argument}: {', '.join(map(repr, twice))} is declared twice. A column can stand once as a number "
                         "or as words, and once by buckets.")
    return declared


def _check_vocabularies(columns: Sequence[CsvFeature], na_value: str) -> None:
    for column in columns:
        if isinstance(column, VocabularyColumn) and na_value in column.vocabulary:
            raise ValueError(f"VocabularyColumn({column.name!r}): its word {na_value!r} is na_value_string, so it stands for a "
                             "missing cell. Choose another na_value_string.")


def _names_in_header(paths: Sequence[str], form: CsvFormat, unreadable: UnreadableFiles) -> list[str]:
    """The names of the columns in the first file's header."""
    if not form.header_lines:
        raise ValueError("header_lines is 0, so column_names must name all columns of the files. Got None.")
    names, _ = first_header(paths, form, unreadable)
    return names


def _columns_to_read(names: Sequence[str], features: Sequence[CsvFeature],
                     labels: Sequence[CsvFeature]) -> tuple[CsvColumn, ...]:
    """Each column that features or labels need, once."""
    for argument, columns in (("columns", features), ("label_columns", labels)):
        positions_of(argument, [column.name for column in columns], names, len(names))
    return tuple(_column_to_read(name, names, [column for column in features if column.name == name],
                                 [column for column in labels if column.name == name])
                 for name in dict.fromkeys(column.name for column in (*features, *labels)))


def _column_to_read(name: str, names: Sequence[str], as_features: Sequence[CsvFeature],
                    as_labels: Sequence[CsvFeature]) -> CsvColumn:
    """A column, in which a cell may be missing if none of its uses minds."""
    position = names.index(name)
    label = column_label(position, names)
    kinds = {column.kind for column in (*as_features, *as_labels)}
    if kinds == {"number"}:
        defaults = [column.default for column in (*as_features, *as_labels)]
        return CsvColumn(position, label, "number", allows_missing=None not in defaults)
    if kinds == {"text"}:
        allowed = frozenset(as_labels[0].vocabulary) if as_labels else None
        return CsvColumn(position, label, "text", allows_missing=not as_labels, allowed_words=allowed)
    raise ValueError(f"{label} is declared as numbers and as words. Leave one out, or make words of the numbers by a "
                     "BucketColumn.")


def _encoding(names: Sequence[str], features: Sequence[CsvFeature], labels: Sequence[CsvFeature],
              dtype: tf.DType) -> RowEncoding:
    """Turns rows into features and labels."""
    all_labels_are_classes = not any(isinstance(column, NumericColumn) for column in labels)
    labels_dtype = tf.int64 if all_labels_are_classes else dtype
    plain = {names.index(column.name) for column in (*features, *labels)
             if isinstance(column, NumericColumn) and column.normaliser is None}

    def cells_of(cells: CsvCells, column: CsvFeature) -> np.ndarray:
        position = names.index(column.name)
        return cells.text(position) if column.kind == "text" else cells.numbers([position])[:, 0]

    def encode(cells: CsvCells) -> tuple[np.ndarray, np.ndarray]:
        matrix = np.concatenate([column.encode(cells_of(cells, column)) for column in features], axis=1,
                                dtype=dtype.as_numpy_dtype)
        targets = np.stack([column.label(cells_of(cells, column)) for column in labels], axis=1)
        return matrix, targets.astype(labels_dtype.as_numpy_dtype)

    return RowEncoding(encode=encode, features_width=sum(column.width for column in features), labels_width=len(labels),
                       labels_dtype=labels_dtype, features_dtype=dtype, plain_positions=sorted(plain))
