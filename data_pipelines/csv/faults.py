"""Finds the line and the column of what is wrong in CSV text: slow, so called only when the quick reader stumbles."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from data_pipelines.csv.table import CsvColumn, CsvTable

NOT_A_NUMBER = frozenset({"nan", "NaN", "NAN", "-nan"})
"""Spellings of a missing number, besides an empty cell and the format's own."""


class CsvFault(ValueError):
    """Something wrong in CSV text, and the line where it stands, from 0."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def check_rows(text: bytes, table: CsvTable) -> int:
    """Reads all rows cell by cell and returns their number.

    Raises:
        CsvFault: the first thing that is wrong.
    """
    num_rows = 0
    for line, cells in _rows(text, table):
        if len(cells) != table.num_columns:
            raise CsvFault(line, f"{table.num_columns} columns are expected, and it has {len(cells)}. Correct the line; a "
                                 f"cell with the delimiter {table.format.delimiter!r} in it must stand in double quotes.")
        for column in table.columns:
            reason = _fault_of(cells[column.position], column, table)
            if reason:
                raise CsvFault(line, f"{column.label}: {reason}")
        num_rows += 1
    return num_rows


def _rows(text: bytes, table: CsvTable) -> Iterator[tuple[int, list[str]]]:
    """The rows and the lines where they start, without blank lines."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start)
        raise CsvFault(line, f"it is not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    reader = table.format.cells(io.StringIO(decoded, newline=""))
    line = 0
    try:
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                yield line, cells
            line = reader.line_num
    except csv.Error as error:
        raise CsvFault(line, str(error)) from error


def _fault_of(cell: str, column: CsvColumn, table: CsvTable) -> str | None:
    if cell in ("", table.format.na_value) or (column.kind == "number" and cell in NOT_A_NUMBER):
        return None if column.allows_missing else "the cell is missing. Fill it, or give the column a default."
    if column.kind == "number" and not _pandas_reads(cell):
        return (f"{cell!r} is not a number. Correct the cell, or, if it stands for a missing one, give it as na_value_string "
                "and the column a default." + (" If the line is a header, correct header_lines."
                                               if not table.format.header_lines else ""))
    if column.allowed_words is not None and cell not in column.allowed_words:
        return f"{cell!r} is not in its vocabulary {', '.join(map(repr, sorted(column.allowed_words)[:20]))}."
    return None


def _pandas_reads(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in ("True", "TRUE", "true", "False", "FALSE", "false")  # in pandas, 1 and 0 where no number is near
    return "_" not in cell  # Python's own digit grouping
