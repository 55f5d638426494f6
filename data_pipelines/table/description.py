"""Says what was found in a table: for each column its kind, missing cells, range or categories, and how it enters the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.table.columns import DateColumn, NumberColumn, TableColumn
from data_pipelines.table.dates import earliest_and_latest
from data_pipelines.table.reading import TableCells, TableFormat, parse_numbers
from data_pipelines.table.target import NumberTarget, TableTarget

_HEADS = ("column", "kind", "missing", "range or categories", "enters the model as")
_MOST_WORDS = 4
_LONGEST_WORD = 20


def described(cells: TableCells, *, training_rows: np.ndarray, validation_rows: np.ndarray, columns: Sequence[TableColumn],
              left_out: Mapping[str, str], target: TableTarget, form: TableFormat) -> str:
    """Several lines: the parts, the target, then a line for each column of the files, as its training rows have it."""
    num_rows = len(cells.frame)
    head = (f"{cells.name}: {num_rows} rows, {len(training_rows)} to train on, {len(validation_rows)} to validate on\n"
            f"target {target.name}: {_target_text(target)}")
    by_name = {column.name: column for column in columns}
    rows = [_HEADS]
    for name in cells.frame.columns.drop(target.name):
        words = cells.frame[name].iloc[training_rows]
        column = by_name.get(name)
        kind = "" if column is None else column.kind
        entry = _entry_text(column) if column else f"left out: {left_out[name]}"
        if column and column.served_name != name:
            entry += f"; served as {column.served_name}"
        rows.append((name, kind, str(int((words == "").sum())), _range_text(words[words != ""], column, form), entry))
    widths = [max(map(len, texts)) for texts in zip(*rows)]
    return "\n".join([head, *("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)])


def _target_text(target: TableTarget) -> str:
    if isinstance(target, NumberTarget):
        return f"regression, mean {target.mean:.4g}, standard deviation {target.standard_deviation:.4g}"
    return f"classification, {len(target.classes)} classes: {_listed(target.classes)}"


def _range_text(words: pd.Series, column: TableColumn | None, form: TableFormat) -> str:
    if words.empty:
        return ""
    numbers = parse_numbers(words, form)
    if isinstance(column, NumberColumn) or (column is None and not np.isnan(numbers).any()):
        return f"{np.min(numbers):g} … {np.max(numbers):g}"
    if isinstance(column, DateColumn):
        first, last = earliest_and_latest(words, column.date_format)
        return f"{first} … {last}"
    different = sorted(words.unique())
    return _listed(different) if len(different) <= _MOST_WORDS else f"{len(different)} words: {_listed(different)}"


def _entry_text(column: TableColumn) -> str:
    indicator = ", indicator of missing cells" if column.has_missing else ""
    if isinstance(column, NumberColumn):
        return f"number, normalised by mean {column.mean:.4g} and deviation {column.standard_deviation:.4g}{indicator}"
    if isinstance(column, DateColumn):
        return f"{', '.join(column.parts)} of {column.date_format}{indicator}"
    form = "embedded" if column.is_embedded else "one-hot"
    return f"{form}, {len(column.vocabulary)} categories{', one place for rare ones' if column.has_other else ''}{indicator}"


def _listed(words: Sequence[str]) -> str:
    """The first words in quotes, since a word may hold a comma."""
    shown = [repr(word) if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD - 1]!r}…" for word in words[:_MOST_WORDS]]
    return ", ".join(shown) + (", …" if len(words) > _MOST_WORDS else "")
