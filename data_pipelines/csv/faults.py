"""Finds the line and the column of what is wrong in CSV text: slow, so called only when the quick reader stumbles."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator

from data_pipelines.csv.table import CsvColumn, CsvFormat, CsvTable

NOT_A_NUMBER = frozenset({"nan", "NaN", "NAN", "-nan"})
"""Spellings of a missing number, besides an empty cell and the format's own."""

_DECIMAL_COMMA = re.compile(r"\s*[-+]?[\d.]*,\d+\s*")
_TRUTHS = ("true", "false")


class CsvError(ValueError):
    """Something wrong in CSV text, and the line where it stands, from 0."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def check_rows(text: bytes, table: CsvTable) -> int:
    """Reads all rows cell by cell and returns their number.

    Raises:
        CsvError: the first thing that is wrong.
    """
    num_rows = 0
    for line, cells in _rows(text, table):
        if len(cells) != table.num_columns:
            raise CsvError(line, f"{table.num_columns} columns are expected, and it has {len(cells)}. Correct the line; a "
                                 f"cell with the delimiter {table.format.delimiter!r} in it must stand in double quotes.")
        for column in table.columns:
            reason = _fault_of(cells[column.position], column, table)
            if reason:
                raise CsvError(line, f"{column.label}: {reason}")
        num_rows += 1
    return num_rows


def _rows(text: bytes, table: CsvTable) -> Iterator[tuple[int, list[str]]]:
    """The rows and the lines where they start, without blank lines."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start)
        raise CsvError(line, table.format.undecodable(error)) from error
    reader = table.format.cells(io.StringIO(decoded, newline=""))
    line = 0
    try:
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                yield line, cells
            line = reader.line_num
    except csv.Error as error:
        raise CsvError(line, str(error)) from error


def _fault_of(cell: str, column: CsvColumn, table: CsvTable) -> str | None:
    if cell in ("", table.format.na_value) or (column.kind == "number" and cell in NOT_A_NUMBER):
        return None if column.allows_missing else "the cell is missing. Fill it, or give the column a default."
    if column.kind == "number":
        reason = _fault_of_number(cell, table.format)
        if reason:
            return reason
    if column.allowed_words is not None and cell not in column.allowed_words:
        return f"{cell!r} is not in its vocabulary {', '.join(map(repr, sorted(column.allowed_words)[:20]))}."
    return None


def _fault_of_number(cell: str, form: CsvFormat) -> str | None:
    remedy = "Correct the cell, or, if it stands for a missing one, give it as na_value_string and the column a default."
    if not _pandas_reads(cell, form.decimal):
        if form.decimal == "." and _DECIMAL_COMMA.fullmatch(cell):
            remedy += " If it has a decimal comma, set decimal=','."
        if not form.header_lines:
            remedy += " If the line is a header, correct header_lines."
        return f"{cell!r} is not a number. {remedy}"
    if cell.lower() not in _TRUTHS and math.isinf(_value(cell, form.decimal)):
        return f"{cell!r} is infinite, with which no training goes on. {remedy}"
    return None


def _pandas_reads(cell: str, decimal: str) -> bool:
    if decimal == "," and "." in cell:
        return False
    try:
        _value(cell, decimal)
    except ValueError:
        return cell in ("True", "TRUE", "true", "False", "FALSE", "false")  # in pandas, 1 and 0 where no number is near
    return "_" not in cell  # Python's own digit grouping


def _value(cell: str, decimal: str) -> float:
    return float(cell.replace(decimal, "."))


def cell_of(text: bytes, table: CsvTable, row: int, position: int) -> tuple[int, str]:
    """Line, from 0, and text of a cell of whole rows in UTF-8 that `check_rows` finds nothing wrong in."""
    line, cells = next(itertools.islice(_rows(text, table), row, None))
    return line, cells[position]
