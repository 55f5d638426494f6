"""Turns CSV text into columns through pandas' C parser, strictly: no row is filled up, cut or guessed."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from data_pipelines.csv.faults import NOT_A_NUMBER, CsvError, check_rows
from data_pipelines.csv.table import QUOTE, CsvFormat, CsvTable

MOST_TEXT_BYTES = 1 << 26
"""Text is read into arrays of one width, the quickest, unless a long cell makes them larger than this."""

_DTYPES = {"number": np.float64, "text": object}
_NEWLINE = ord("\n")


class CsvCells:
    """The columns of some rows, by their places in the file."""

    def __init__(self, frame: pd.DataFrame, table: CsvTable) -> None:
        self._frame = frame
        self._na_value = table.format.na_value.encode()
        positions = table.positions("number")
        self._place_of = {position: place for place, position in enumerate(positions)}
        self._numbers = frame[positions].to_numpy(np.float64)

    def __len__(self) -> int:
        return len(self._frame)

    def numbers(self, positions: Sequence[int]) -> np.ndarray:
        """Columns of numbers, float64 `[rows, columns]`, NaN where a cell is missing."""
        return self._numbers[:, [self._place_of[position] for position in positions]]

    def text(self, position: int) -> np.ndarray:
        """A column of text as bytes `[rows]`, empty where a cell is missing."""
        cells = self._frame[position].to_numpy()
        if cells.dtype == object:
            cells = np.array([cell.encode() for cell in cells], object)
        return np.where(cells == self._na_value, b"", cells)


class CsvParser:
    """Reads the columns of a table from whole rows of text.

    Arguments:
        table: the form of the rows, and the columns.
    """

    def __init__(self, table: CsvTable) -> None:
        self._table = table
        self._dtypes = {column.position: _DTYPES[column.kind] for column in table.columns}
        missing = ["", table.format.na_value, *NOT_A_NUMBER]
        self._pandas_arguments = {
            "sep": table.format.delimiter, "decimal": table.format.decimal, "header": None, "engine": "c", "low_memory": False,
            "index_col": False, "names": range(table.num_columns), "usecols": list(self._dtypes), "keep_default_na": False,
            "na_values": dict.fromkeys(table.positions("number"), missing)}

    def parse(self, text: bytes) -> CsvCells:
        """The cells of whole rows.

        Raises:
            CsvError: a row has another number of columns, a cell is missing, no finite number or not in the vocabulary, or
                the text is not UTF-8.
        """
        text = text.rstrip(b"\r\n") + b"\n"  # blank lines at the end are common, and `_is_regular` takes them for rows
        if text == b"\n":
            return self._cells(pd.DataFrame({place: np.zeros(0, dtype) for place, dtype in self._dtypes.items()}))
        characters = np.frombuffer(text, np.uint8)
        separators, ends_line = _separators(characters, self._table.format.delimiter)
        if _is_utf_8(text) and _is_regular(ends_line, self._table.num_columns):
            num_rows = len(ends_line) // self._table.num_columns
        else:
            num_rows = check_rows(text, self._table)
        has_spaces = text.startswith(b" ") or (characters[separators[:-1] + 1] == ord(" ")).any()
        cells = self._read(text, num_rows, longest_cell=int(np.diff(separators, prepend=-1).max()),
                           skips_spaces=has_spaces and self._table.format.skips_spaces)  # it costs a quarter of the time
        if len(cells) != num_rows and check_rows(text, self._table) != len(cells):
            raise CsvError(0, f"pandas makes {len(cells)} rows of the {num_rows} from here. Look for quotes without a partner "
                              "and for stray carriage returns.")
        if not self._are_valid(cells):
            check_rows(text, self._table)
            raise CsvError(0, f"a cell is missing, infinite or not in the vocabulary in the {num_rows} rows from here.")
        return cells

    def _cells(self, frame: pd.DataFrame) -> CsvCells:
        return CsvCells(frame, self._table)

    def _read(self, text: bytes, num_rows: int, *, longest_cell: int, skips_spaces: bool) -> CsvCells:
        dtypes = self._dtypes
        if num_rows * longest_cell <= MOST_TEXT_BYTES:
            dtypes = {place: f"S{longest_cell}" if dtype is object else dtype for place, dtype in dtypes.items()}
        try:
            return self._cells(pd.read_csv(io.BytesIO(text), dtype=dtypes, skipinitialspace=skips_spaces,
                                           **self._pandas_arguments))
        except ValueError as error:
            check_rows(text, self._table)
            raise CsvError(0, f"in the {num_rows} rows from here, pandas found: {error}") from error

    def _are_valid(self, cells: CsvCells) -> bool:
        """Tells whether no cell is missing where none may be, and all words are allowed."""
        complete = [column.position for column in self._table.columns if column.kind == "number" and not column.allows_missing]
        if np.isnan(cells.numbers(complete)).any() or np.isinf(cells.numbers(self._table.positions("number"))).any():
            return False
        for column in self._table.columns:
            if column.kind == "text" and not column.allows_missing and (cells.text(column.position) == b"").any():
                return False
            if column.allowed_words and not np.isin(cells.text(column.position), _encoded(column.allowed_words)).all():
                return False
        return True


def in_utf_8(text: bytes, form: CsvFormat) -> bytes:
    """The text of whole rows, brought to UTF-8 from the files' encoding.

    Raises:
        CsvError: it is not in that encoding.
    """
    if form.is_utf_8:
        return text
    try:
        return text.decode(form.encoding).encode()
    except UnicodeDecodeError as error:
        raise CsvError(text.count(b"\n", 0, error.start), form.undecodable(error)) from error


def _encoded(words: Collection[str]) -> np.ndarray:
    return np.array([word.encode() for word in words])


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _separators(characters: np.ndarray, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the delimiters and line breaks outside of quotes are, and which of them are line breaks."""
    is_break = characters == _NEWLINE
    separates = is_break | (characters == ord(delimiter))
    is_quote = characters == ord(QUOTE)
    if is_quote.any():
        separates &= between_quotes(is_quote) == 0
    positions = np.flatnonzero(separates)
    return positions, is_break[positions]


def _is_regular(ends_line: np.ndarray, num_columns: int) -> bool:
    """Tells whether each n-th separator is a line break, and no other: pandas would fill short rows up and cut long ones."""
    num_rows, rest = divmod(len(ends_line), num_columns)
    return not rest and bool(ends_line[num_columns - 1::num_columns].all()) and np.count_nonzero(ends_line) == num_rows


def between_quotes(is_quote: np.ndarray) -> np.ndarray:
    """1 from each opening quote to the character before the closing one, else 0; a doubled quote closes and opens."""
    return np.bitwise_xor.accumulate(is_quote.view(np.uint8))


def end_of_rows(text: bytes) -> int:
    """The length of the rows that are whole in a text that starts with a row; a line break between quotes ends none."""
    if QUOTE.encode() not in text:
        return text.rfind(b"\n") + 1
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((characters == _NEWLINE) & (between_quotes(characters == ord(QUOTE)) == 0))
    return int(ends[-1]) + 1 if len(ends) else 0
