"""Prints a table so that it fits where it goes: coloured and as wide as the terminal, or plain and whole in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_STYLES = {"damaged": "bold red", "failed": "red", "interrupted": "yellow", "stopped": "yellow", "training": "cyan",
           "pruned": "dim", "waiting": "dim", "finished": "green"}
_NUM_FIXED_COLUMNS = 3  # the name, the status and what the order goes by are never left out
_COLUMN_GAP = 2
_RULE = "─"
_NO_WIDTH_LIMIT = 1_000_000


@dataclass(frozen=True)
class TableColumn:
    """One column.

    Attributes:
        head: its name.
        cells: a text a row.
        is_numeric: aligned to the right.
        is_status: coloured by what it says.
    """

    head: str
    cells: Sequence[str]
    is_numeric: bool = False
    is_status: bool = False

    @cached_property
    def width(self) -> int:
        """The number of terminal columns that the widest cell needs."""
        return max(cell_len(text) for text in (self.head, *self.cells))


def print_table(columns: Sequence[TableColumn], *, footer: Sequence[str]) -> None:
    """Prints to the standard output.

    On a terminal, columns that do not fit are left out from the end and named; into a file or a pipe goes everything.

    Arguments:
        columns: from left to right.
        footer: lines for below the table.
    """
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _NO_WIDTH_LIMIT)
    num_shown = _num_fitting([column.width for column in columns], room=console.width)
    shown, left_out = columns[:num_shown], [column.head for column in columns[num_shown:]]
    if any(column.cells for column in shown):
        console.print(_table_text(shown))
    notes = [f"left out for lack of room: {', '.join(left_out)} (--columns chooses)"] if left_out else []
    for line in (*footer, *notes):
        console.print(Text(line))


def _table_text(columns: Sequence[TableColumn]) -> Text:
    """The whole table as one text; rich's own Table takes half a second for 1,000 rows."""
    gap, width = " " * _COLUMN_GAP, sum(column.width + _COLUMN_GAP for column in columns) - _COLUMN_GAP
    text = Text(no_wrap=True, end="")
    text.append(gap.join(_padded(column.head, column) for column in columns).rstrip(), style="bold")
    text.append(f"\n{_RULE * width}\n", style="dim")
    for row in zip(*(column.cells for column in columns)):
        start = len(text)
        text.append(gap.join(_padded(cell, column) for cell, column in zip(row, columns)).rstrip() + "\n")
        for cell, column in zip(row, columns):
            if column.is_status and cell in _STYLES:
                text.stylize(_STYLES[cell], start, start + len(cell))
            start += len(_padded(cell, column)) + _COLUMN_GAP
    return text


def _padded(cell: str, column: TableColumn) -> str:
    filling = " " * (column.width - cell_len(cell))
    return filling + cell if column.is_numeric else cell + filling


def _num_fitting(widths: Sequence[int], *, room: int) -> int:
    """Returns the number of columns from the left that fit."""
    used = -_COLUMN_GAP
    for index, width in enumerate(widths):
        used += _COLUMN_GAP + width
        if used > room and index >= _NUM_FIXED_COLUMNS:
            return index
    return len(widths)
