"""Reads a stranger's CSV files: finds out how they are written, and refuses what is no table, with the remedy."""

from __future__ import annotations

import dataclasses
import difflib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from expman.errors import UsageError
from expman.first_steps.file_names import check_decodable

if TYPE_CHECKING:
    import pandas as pd

    from data_pipelines.table.reading import TableCells, TableFormat

_DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT_BYTES = 1 << 20
_LOOKED_AT_LINES = 50
_LEAST_FITTING_SHARE = 0.7  # of the lines that have as many cells as the first
_WITH_COMMA, _WITH_POINT = r"[+-]?\d+,\d+", r"[+-]?\d+\.\d+"
_PACKED = {b"PK\x03\x04": "a spreadsheet or an archive", b"\xd0\xcf\x11\xe0": "an old spreadsheet", b"PAR1": "a Parquet file",
           b"\x1f\x8b": "a compressed file", b"%PDF": "a PDF"}


def read_csv_files(data: Path, *, keeps_missing_words: bool = False) -> tuple[TableCells, TableFormat]:
    """Returns the cells of a CSV file, or of all in a folder and below it, and how they are written.

    Arguments:
        data: the file or folder.
        keeps_missing_words: whether cells such as 'NA' stay what they are; else they are ''.

    Raises:
        UsageError: there is no table; the message names file, value and remedy.
    """
    from data_pipelines.table.reading import read_cells, table_files
    try:
        paths = table_files(data)
        check_decodable("--data", map(Path, paths))
        delimiter, encoding = _delimiter_and_encoding(Path(paths[0]))
        form = _table_format(delimiter=delimiter, encoding=encoding)
        if keeps_missing_words:
            form = dataclasses.replace(form, missing_words=("",))
        cells = read_cells(paths, form)
    except (ValueError, OSError) as error:
        raise UsageError(_told(data, error)) from error
    _check_names(data, cells.frame)
    if delimiter != ",":
        form = dataclasses.replace(form, decimal=_decimal(cells.frame))
    return cells, form


def existing_column(option: str, name: str, columns: Sequence[str]) -> str:
    """Returns the column of that name.

    Raises:
        UsageError: there is none; the message lists those that there are, the nearest first.
    """
    if name in columns:
        return name
    same = [column for column in columns if column.strip().lower() == name.strip().lower()]
    close = same or difflib.get_close_matches(name, columns, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"{option} {name}: the data have no such column.{hint} They have: {', '.join(map(repr, columns))}.")


def format_arguments(form: TableFormat, *, names: Sequence[str]) -> dict[str, str]:
    """Returns the arguments of a pipeline that differ from commas, points and UTF-8.

    Arguments:
        form: how the files are written.
        names: what the pipeline calls delimiter, decimal and encoding.
    """
    usual = _table_format(delimiter=",", encoding="utf-8-sig")
    return {name: getattr(form, field) for name, field in zip(names, ("delimiter", "decimal", "encoding"), strict=True)
            if getattr(form, field) != getattr(usual, field)}


def format_sentence(form: TableFormat) -> str:
    """Says how files are written, '' when as usual."""
    marks = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    found = format_arguments(form, names=("delimiter", "decimal", "encoding"))
    parts = [text for name, text in (("delimiter", f"{marks[form.delimiter]} between the cells"),
                                     ("decimal", "a decimal comma"), ("encoding", f"the encoding "
                                                                                  f"{form.encoding}")) if name in found]
    return f"It is written with {' and '.join(parts)}." if parts else ""


def _table_format(*, delimiter: str, encoding: str) -> TableFormat:
    from data_pipelines.table.reading import TableFormat
    return TableFormat(delimiter=delimiter, encoding=encoding)


def _told(data: Path, error: Exception) -> str:
    """Returns an error of the pipeline as one of --init, which names the path once, and takes neither encoding nor delimiter."""
    from data_pipelines.table.reading import OR_SET_DELIMITER, SET_ENCODING
    text = str(error).replace(SET_ENCODING, "Save it as CSV in UTF-8.").replace(OR_SET_DELIMITER, "")
    text = re.sub(r" Set delimiter='.{1,2}'\.$", " Write all files with the same delimiter.", text)
    return f"--data {text}" if text.startswith(str(data)) else f"--data {data}: {text}"


def _delimiter_and_encoding(path: Path) -> tuple[str, str]:
    with path.open("rb") as stream:
        beginning = stream.read(_LOOKED_AT_BYTES)
    packed = next((kind for mark, kind in _PACKED.items() if beginning.startswith(mark)), None)
    if packed is not None:
        raise ValueError(f"{path} is {packed}, no CSV file. Save it as CSV, whose first line names the columns.")
    if not beginning.strip():
        raise ValueError(f"{path} is empty. Its first line must name the columns, the others are the rows.")
    encoding = _encoding(path, beginning)
    text = beginning.decode(encoding, errors="ignore")
    if "\0" in text:
        raise ValueError(f"{path} holds characters of the number 0 (U+0000), of {encoding}, which no text has. Remove them.")
    lines = re.split(r"\r\n|\r|\n", text)[:_LOOKED_AT_LINES]
    if lines[0].lower().startswith("sep="):
        raise ValueError(f"the first line of {path}, {lines[0]!r}, is a note to spreadsheet programs. Remove it: the first line must "
                         "name the columns.")
    return max(_DELIMITERS, key=lambda mark: (_num_fitting_columns(lines, mark), lines[0].count(mark))), encoding


def _encoding(path: Path, beginning: bytes) -> str:
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in beginning:
        raise ValueError(f"{path} is no text: it holds zero bytes. Save it as CSV in UTF-8.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            with path.open(encoding=encoding, newline="") as stream:
                while stream.read(_LOOKED_AT_BYTES):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _num_fitting_columns(lines: Sequence[str], delimiter: str) -> int:
    """Returns the number of columns, 0 for a single one or when most lines do not have as many as the first."""
    from data_pipelines.table.reading import csv_rows
    widths = [len(row) for row in csv_rows(io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True) if row]
    if not widths or widths.count(widths[0]) < _LEAST_FITTING_SHARE * len(widths):
        return 0
    return widths[0] if widths[0] > 1 else 0


def _check_names(data: Path, frame: pd.DataFrame) -> None:
    """Refuses a first line that names no columns: a title, a note, or values like those below."""
    names = list(frame)
    if len(names) < 2:
        raise UsageError(f"--data {data}: there is a single column, {names[0]!r}. Cells must be separated by one of: comma, "
                         "semicolon, tab, '|'; lines above the names of the columns, such as a title, must be removed.")
    values = [name for name in names if _holds_numbers([name])]
    if values and not any(_holds_numbers(frame[name]) for name in names if name not in values):
        raise UsageError(f"--data {data}: the first line seems to hold values, such as {values[0]!r}. Write a line above it that "
                         "names the columns.")


def _holds_numbers(cells: Iterable[str]) -> bool:
    """Returns whether all cells that are not missing are numbers, with a point or a comma."""
    return all(re.fullmatch(rf"[+-]?\d+|{_WITH_POINT}|{_WITH_COMMA}", cell) for cell in cells if cell)


def _decimal(frame: pd.DataFrame) -> str:
    """Returns ',' where more cells are numbers with a comma than with a point."""
    num_commas, num_points = (sum(int(frame[name].str.fullmatch(pattern).sum()) for name in frame)
                              for pattern in (_WITH_COMMA, _WITH_POINT))
    return "," if num_commas > num_points else "."
