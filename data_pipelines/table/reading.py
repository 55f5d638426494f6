"""Reads CSV files into one frame of texts, in which '' stands for a missing cell; every fault names file, column and remedy."""

from __future__ import annotations

import csv
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_pipelines.checks import file_list
from data_pipelines.filenames import extractFilenames

MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>", "#N/A")
CODE = r"[+-]?0\d+"
"""Matches a number with leading zeros, which names something, e.g. a postal code."""
SET_ENCODING = "Set encoding, e.g. encoding='latin-1' for files of older spreadsheets."
OR_SET_DELIMITER = ", or set delimiter"
_LONGEST_CELL = 2**31 - 1
_OTHER_DELIMITERS = (";", "\t", "|", ",")


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """The form of the files.

    Arguments:
        delimiter: one character between two cells.
        decimal: the decimal point of numbers, '.' or ','.
        encoding: of the text.
        missing_words: what stands for a missing cell, beside an empty one.

    Raises:
        ValueError: an argument is not valid.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8-sig"
    missing_words: tuple[str, ...] = MISSING_WORDS

    def __post_init__(self) -> None:
        if not isinstance(self.delimiter, str) or len(self.delimiter) != 1:
            raise ValueError(f"delimiter must be one character, e.g. ',', ';' or '\\t'. Got {self.delimiter!r}.")
        if self.decimal not in (".", ","):
            raise ValueError(f"decimal must be '.' or ','. Got {self.decimal!r}.")
        if self.decimal == self.delimiter:
            raise ValueError(f"delimiter and decimal are both {self.decimal!r}. Files with decimal commas mostly have "
                             "delimiter=';'.")


class TableCells:
    """The rows of some files, as they stand there.

    Arguments:
        frame: str `[rows, columns]`; '' where a cell is missing.
        places: file and number in it of each row.
    """

    def __init__(self, frame: pd.DataFrame, places: Sequence[tuple[str, int]]) -> None:
        self.frame = frame
        self.paths = list(dict.fromkeys(path for path, _ in places))
        self._places = places

    @property
    def name(self) -> str:
        """The words of messages for the files."""
        return self.paths[0] + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")

    def place(self, row: int) -> str:
        """`FILE, row N` of a row of the frame, N counted from 1 below the header."""
        path, number = self._places[row]
        return f"{path}, row {number}"

    def without(self, is_left_out: pd.Series) -> TableCells:
        """The cells without some rows."""
        kept = [place for place, left_out in zip(self._places, is_left_out) if not left_out]
        return TableCells(self.frame[~is_left_out].reset_index(drop=True), kept)


def table_files(files: str | os.PathLike[str] | Iterable[str]) -> list[str]:
    """The CSV files that an argument names: a file, a folder that holds them, or a list of files.

    Raises:
        FileNotFoundError: some do not exist; the message lists them.
        ValueError: there is none.
    """
    if isinstance(files, (str, os.PathLike)):
        files = extractFilenames(os.fspath(files), "*.csv") if os.path.isdir(files) else [os.fspath(files)]
    return file_list(files)


def read_cells(paths: Sequence[str], form: TableFormat) -> TableCells:
    """Reads the files, which must have the same columns.

    Raises:
        ValueError: a file cannot be read as a table; the message names it, and what to do.
    """
    frames = [_read(path, form) for path in paths]
    for path, frame in zip(paths, frames):
        if list(frame.columns) != list(frames[0].columns):
            differing = sorted(set(frame.columns) ^ set(frames[0].columns)) or "their order"
            raise ValueError(f"{path} has other columns than {paths[0]}: {differing} differ. Give files of one table only.")
    places = [(path, number) for path, frame in zip(paths, frames) for number in range(1, len(frame) + 1)]
    return TableCells(pd.concat(frames, ignore_index=True), places)


def parse_numbers(words: pd.Series, form: TableFormat) -> np.ndarray:
    """Float64 of texts; NaN for '' and for what is no number."""
    if form.decimal != ".":
        words = words.str.replace(form.decimal, ".", regex=False)
    return pd.to_numeric(words.replace("", None), errors="coerce").to_numpy(np.float64)


def csv_rows(lines: Iterable[str], *, delimiter: str, skipinitialspace: bool = False) -> Iterator[list[str]]:
    """Yields the cells of each row, however long they are: pandas has no limit either."""
    limit = csv.field_size_limit(_LONGEST_CELL)  # of the whole process
    try:
        yield from csv.reader(lines, delimiter=delimiter, skipinitialspace=skipinitialspace)
    finally:
        csv.field_size_limit(limit)


def _read(path: str, form: TableFormat) -> pd.DataFrame:
    try:
        _check_header(path, form)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, sep=form.delimiter, dtype=str, keep_default_na=False, na_values=[], index_col=False,
                                encoding=form.encoding, skipinitialspace=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not written in {form.encoding} ({error.reason} at byte {error.start}). "
                         f"{SET_ENCODING}") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} cannot be read as a table: {str(error).strip().rstrip('.')}. Each row must have as many cells as the "
                         f"header, between {form.delimiter!r}; quote cells that contain it{OR_SET_DELIMITER}.") from error
    if frame.empty:
        raise ValueError(f"{path} has a header and no rows.")
    if (frame.iloc[:, -1] == "").any():
        _check_lengths(path, form, num_columns=frame.shape[1])
    frame = frame.apply(lambda cells: cells.astype(object).str.strip())
    return frame.mask(frame.isin(form.missing_words), "")


def _check_header(path: str, form: TableFormat) -> None:
    with open(path, newline="", encoding=form.encoding) as stream:
        names = [name.strip() for name in next(csv_rows(stream, delimiter=form.delimiter), [])]
    if not names:
        raise ValueError(f"{path} is empty: its first line must name the columns.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{path}: the column names {', '.join(map(repr, repeated))} occur more than once. Rename them in its "
                         "first line, so that each column can be told from the others.")
    if "" in names:
        raise ValueError(f"{path}: column {names.index('') + 1} has no name. Name it in the first line of the file; "
                         "a column of row numbers that pandas wrote is avoided by to_csv(…, index=False).")
    if all(_is_number(name) for name in names):
        raise ValueError(f"{path}: all names of its columns are numbers: {', '.join(names[:5])}. Write a line with names.")
    other = next((mark for mark in _OTHER_DELIMITERS if mark in names[0]), None)
    if len(names) == 1 and other:
        raise ValueError(f"{path} has the single column {names[0]!r}. Set delimiter={other!r}.")


def _check_lengths(path: str, form: TableFormat, *, num_columns: int) -> None:
    """Raises ValueError for a row with fewer cells than the header, which pandas fills up without a word."""
    with open(path, newline="", encoding=form.encoding) as stream:
        rows = [row for row in csv_rows(stream, delimiter=form.delimiter, skipinitialspace=True) if row][1:]
    short = [number for number, row in enumerate(rows, start=1) if len(row) < num_columns and num_columns > 1]
    if short:
        raise ValueError(f"{path}, row {short[0]}: it has fewer cells than the header ({len(short)} such rows). Complete it "
                         "with delimiters, or correct delimiter and the quotes.")


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
