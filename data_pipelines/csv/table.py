"""Describes CSV files: their form, their header, and the columns that a pipeline asks for."""

from __future__ import annotations

import codecs
import csv
import difflib
import logging
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from data_pipelines.checks import one_of
from data_pipelines.unreadable_files import UnreadableFileError, UnreadableFiles

QUOTE = '"'
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
NOT_UTF_16 = ("it is UTF-16, which is not read. Save the file as UTF-8: open(new, 'w', encoding='utf-8').write("
              "open(old, encoding='utf-16').read()).")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    """The form of the files.

    Arguments:
        delimiter: one character between two cells. Spaces after it do not belong to the cell.
        na_value: the text of a missing cell; an empty one is missing too.
        header_lines: lines before the first row; the last of them names the columns.
        decimal: '.' or ',': what separates the fraction of a number.
        encoding: of the text: 'utf-8' (with or without a byte order mark) or another one in which ASCII characters are single
            bytes, such as 'latin-1' or 'cp1252'.

    Raises:
        ValueError: an argument is not valid.
    """

    delimiter: str = ","
    na_value: str = "N/A"
    header_lines: int = 1
    decimal: str = "."
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if not (isinstance(self.delimiter, str) and len(self.delimiter) == 1 and self.delimiter.isascii()
                and self.delimiter not in '"\r\n'):
            raise ValueError(f"csv_field_delim must be one ASCII character, e.g. ',', ';' or '\\t'. Got {self.delimiter!r}.")
        if not isinstance(self.na_value, str):
            raise ValueError(f"na_value_string must be a str, e.g. 'N/A'. Got {self.na_value!r}.")
        if not isinstance(self.header_lines, int) or self.header_lines < 0:
            raise ValueError(f"header_lines must be an int of at least 0. Got {self.header_lines!r}.")
        one_of("decimal", self.decimal, (".", ","))
        if self.decimal == self.delimiter:
            raise ValueError(f"decimal={self.decimal!r} is csv_field_delim, too. Files with a decimal comma mostly have "
                             "csv_field_delim=';'.")
        _check_encoding(self.encoding)

    @property
    def is_utf_8(self) -> bool:
        """Tells whether the text need not be brought to UTF-8."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")

    @property
    def skips_spaces(self) -> bool:
        """Tells whether spaces at the start of a cell are dropped."""
        return self.delimiter != " "

    def cells(self, lines: Iterable[str]) -> csv.reader:
        """The standard library's reader of these files: slow, and it knows the lines."""
        return csv.reader(lines, delimiter=self.delimiter, quotechar=QUOTE, skipinitialspace=self.skips_spaces)

    def skip_header(self, file: BinaryIO) -> list[str] | None:
        """Moves a file from its start to the first row and returns the names of the columns, None where there are none."""
        beginning = file.read(len(_BYTE_ORDER_MARK))
        if beginning.startswith(_UTF_16_MARKS):
            raise ValueError(f"line 1: {NOT_UTF_16}")
        if beginning != _BYTE_ORDER_MARK:
            file.seek(0)
        lines = [file.readline() for _ in range(self.header_lines)]
        return self._first_cells(lines[-1], self.header_lines) if lines else None

    def first_row(self, file: BinaryIO) -> list[str] | None:
        """The cells of the line at which a file stands, None at its end."""
        line = file.readline()
        return self._first_cells(line, self.header_lines + 1) if line else None

    def _first_cells(self, line: bytes, number: int) -> list[str]:
        if b"\0" in line:
            raise ValueError(f"line {number}: {NOT_UTF_16}")
        try:
            return next(iter(self.cells([line.decode(self.encoding)])), [])
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number}: {self.undecodable(error)}") from error
        except csv.Error as error:
            raise ValueError(f"line {number}: {error}. Shorten the cell, or close its quotes.") from error

    def undecodable(self, error: UnicodeDecodeError) -> str:
        """Says of a text that it is not in the encoding, and what helps."""
        if self.is_utf_8:
            return (f"it is not UTF-8 ({error.reason}). Save the file as UTF-8, or tell its encoding: encoding='cp1252' (Windows, "
                    "Western Europe), 'latin-1' ….")
        return f"it is not {self.encoding} ({error.reason}). Correct encoding."


@dataclass(frozen=True)
class CsvColumn:
    """A column to be read.

    Arguments:
        position: in the file, from 0.
        label: how errors call it.
        kind: 'number' or 'text'.
        allows_missing: whether a cell may be missing; else it is an error.
        allowed_words: the only texts that may occur, None: all.
    """

    position: int
    label: str
    kind: str
    allows_missing: bool = False
    allowed_words: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """The form of the files, their header (None: not compared), and the columns to be read from each."""

    format: CsvFormat
    header: list[str] | None
    num_columns: int
    columns: tuple[CsvColumn, ...]

    def positions(self, kind: str) -> list[int]:
        """The places of the columns of a kind."""
        return [column.position for column in self.columns if column.kind == kind]


def first_header(paths: Sequence[str], form: CsvFormat, unreadable: UnreadableFiles) -> tuple[list[str] | None, int]:
    """The names of the columns (None without header) and their number, from the first file that is not empty.

    Raises:
        ValueError: all files are empty.
        UnreadableFileError: a file cannot be read, and such are not to be skipped.
    """
    for path in paths:
        header = unreadable.read(lambda path: _header_of(path, form), path)
        if header is not None and header[1]:
            return header
    first_line = "header" if form.header_lines else "row"
    raise ValueError(f"none of the {len(paths)} files has a {first_line}: {', '.join(paths[:3])}.")


def _header_of(path: str, form: CsvFormat) -> tuple[list[str] | None, int]:
    with open(path, "rb") as file:
        names = form.skip_header(file)
        row = form.first_row(file)
    if names and all(_is_number(name) for name in names):
        _LOG.warning("%s: all names of its columns are numbers: %s. If this is a row, set header_lines=%d.",
                     path, ", ".join(names[:5]), form.header_lines - 1)
    return names, len(row or []) if names is None else len(names)


def check_header(path: str, names: list[str] | None, expected: list[str] | None) -> None:
    """Raises UnreadableFileError when a file's columns are not named as the first one's; an empty file has no names."""
    if not names or expected is None or names == expected:
        return
    differences = [f"column {position} is {names[position]!r} instead of {expected[position]!r}"
                   for position in range(min(len(names), len(expected))) if names[position] != expected[position]]
    if len(names) != len(expected):
        differences.insert(0, f"{len(names)} columns instead of {len(expected)}")
    raise UnreadableFileError(path, f"its header differs from the first file's: {'; '.join(differences[:3])}. "
                                    "Give files with other columns to a dataset of their own.")


def positions_of(argument: str, wanted: Sequence[str | int], header: list[str] | None, num_columns: int) -> list[int]:
    """The places in the file of columns that are given by name or by place, from 0.

    Raises:
        ValueError: a column does not exist, or several have its name; the message names `argument`.
    """
    faults, positions = [], []
    for column in wanted:
        if isinstance(column, numbers.Integral) and not isinstance(column, bool):
            positions.append(int(column))
            if not 0 <= column < num_columns:
                faults.append(f"{column} is not in 0 … {num_columns - 1}")
        elif header is None:
            faults.append(f"{column!r} is a name, and the files have no header; give places from 0")
        elif header.count(column) != 1:
            faults.append(f"{header.count(column)} columns are called {column!r}" if column in header
                          else _unknown_name(column, header))
        else:
            positions.append(header.index(column))
    if faults:
        raise ValueError(f"{argument}: {'; '.join(faults)}.")
    return positions


def _unknown_name(name: str, header: list[str]) -> str:
    by_lower_case = {known.lower(): known for known in header}
    close = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    meant = f", did you mean {by_lower_case[close[0]]!r}?" if close else ","
    return f"no column is called {name!r}{meant} they are " + ", ".join(map(repr, header[:20])) + (
        f" and {len(header) - 20} more" if len(header) > 20 else "")


def column_label(position: int, header: list[str] | None) -> str:
    """Returns the words of errors for a column: its name, else its place."""
    return f"column {header[position]!r}" if header is not None else f"column {position} (from 0)"


def _check_encoding(encoding: str) -> None:
    try:
        is_ascii_kept = 'a\n",;1.'.encode(encoding).removeprefix(_BYTE_ORDER_MARK) == b'a\n",;1.'
    except LookupError:
        raise ValueError(f"encoding must be the name of an encoding, e.g. 'utf-8' or 'latin-1'. Got {encoding!r}.") from None
    if not is_ascii_kept:
        raise ValueError(f"encoding={encoding!r} cannot be read in pieces. Save the files as UTF-8: open(new, 'w', encoding="
                         f"'utf-8').write(open(old, encoding={encoding!r}).read()).")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
