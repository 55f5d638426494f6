"""The table of `--compare`: which experiments, in which order, with which columns; for the terminal and as CSV."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expman.errors import UsageError
from expman.records.experiment_folder import write_atomically
from expman.reports.compare.best_first import Order, order_of
from expman.reports.compare.filter_expression import FilterExpression
from expman.reports.experiment_labels import short_labels
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.experiment_search import read_experiments
from expman.reports.record_fields import GROUPS, differing_names, field_text, field_value, known_names, resolve_name, split_name
from expman.reports.terminal_table import TableColumn, print_table

_SHOWN_IF_THEY_DIFFER = ("data", "git")
_UNNAMED_SETTINGS = ("settings.hparams", "settings.session_name", "settings.workingFolder")
_MOST_NAMED = 8


@dataclass(frozen=True)
class Comparison:
    """Some experiments beside each other.

    Attributes:
        records: in the order of the table.
        columns: names of `record_fields`.
        order: by what they are ordered; None when nothing tells.
        num_found: how many there were before the filter.
    """

    records: Sequence[ExperimentRecord]
    columns: Sequence[str]
    order: Order | None
    num_found: int


def compare(folders: Sequence[str | os.PathLike[str]], *, sort: str | None = None, filter_expression: str | None = None,
            columns: str | Sequence[str] | None = None, csv_file: str | os.PathLike[str] | None = None) -> None:
    """Prints a table of experiments, read from their plain files.

    Arguments:
        folders: of experiments, of sweeps, or with experiments below them at any depth.
        sort: see `order_of`.
        filter_expression: see `FilterExpression`.
        columns: names of `record_fields`, as a sequence or separated by commas; 'hparams', 'metrics' and 'settings' stand
            for all names of their kind. None: what differs, and what most want to see.
        csv_file: also gets the table, with all digits.

    Raises:
        UsageError: a folder, name or expression is wrong, or the CSV file cannot be written.
    """
    condition = FilterExpression(filter_expression) if filter_expression is not None else None
    comparison = compared(read_experiments(folders), sort=sort, condition=condition, columns=columns)
    if csv_file is not None:
        write_csv(comparison, Path(csv_file))
    _print(comparison, csv_file=csv_file)


def compared(found: Sequence[ExperimentRecord], *, sort: str | None = None, condition: FilterExpression | None = None,
             columns: str | Sequence[str] | None = None) -> Comparison:
    """Selects and orders experiments and chooses the columns; see `compare`."""
    wanted = None if columns is None else _resolved(columns, found)
    order = order_of(found, sort)
    records = condition.select(found) if condition else list(found)
    if order:
        records = order.sorted(records)
    return Comparison(records=records, columns=wanted or _usual_columns(records, order), order=order, num_found=len(found))


def write_csv(comparison: Comparison, file: Path) -> None:
    """Writes the table with all digits and the folder of each experiment, in one step.

    Raises:
        UsageError: the file cannot be written.
    """
    columns = list(dict.fromkeys([*comparison.columns, "folder"]))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([field_value(record, column) for column in columns] for record in comparison.records)
    try:
        write_atomically(file, table.getvalue().encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UsageError(f"--csv '{file}' cannot be written ({error.strerror}). Give a file in a folder that exists and is "
                         "writable.") from error


def _resolved(columns: str | Sequence[str], records: Sequence[ExperimentRecord]) -> list[str]:
    names = [name.strip() for name in columns.split(",")] if isinstance(columns, str) else list(columns)
    names = [name for name in names if name]
    if not names:
        raise UsageError("--columns names no column. Write for instance --columns name,status,metrics.loss")
    known = known_names(records)
    resolved: list[str] = []
    for name in names:
        of_group = [entry for entry in known if split_name(entry)[0] == name] if name in GROUPS else []
        resolved += of_group or [resolve_name(name, known, what="--columns")]
    return list(dict.fromkeys(resolved))


def _usual_columns(records: Sequence[ExperimentRecord], order: Order | None) -> list[str]:
    """Returns the columns that most want to see; the first are the last that a narrow terminal leaves out."""
    metrics = [name for name in known_names(records) if split_name(name)[0] == "metrics"]
    by_order = [order.name] if order else []
    differing = [field for field in _SHOWN_IF_THEY_DIFFER if len({field_value(record, field) for record in records}) > 1]
    return list(dict.fromkeys(["name", "status", *by_order, *differing_names(records, "hparams"), "epoch", "duration",
                               *metrics, "versions", *differing]))


def _print(comparison: Comparison, *, csv_file: str | os.PathLike[str] | None) -> None:
    records, columns = comparison.records, comparison.columns
    texts = {column: [field_text(record, column) for record in records] for column in columns}
    if sys.stdout.isatty() and "name" in texts:
        texts["name"] = short_labels(records)
    print_table([TableColumn(head=heading(column, columns), cells=texts[column], is_numeric=is_numeric(records, column),
                             is_status=column == "status") for column in columns],
                footer=_footer(comparison, csv_file=csv_file))


def heading(column: str, columns: Sequence[str]) -> str:
    """The column's name without its group where no other column has the same."""
    group, name = split_name(column)
    return name if group and sum(split_name(other)[1] == name for other in columns) == 1 else column


def is_numeric(records: Sequence[ExperimentRecord], column: str) -> bool:
    """Tells whether a column holds only numbers and gaps."""
    values = [field_value(record, column) for record in records]
    return column != "versions" and all(value is None or isinstance(value, (int, float)) for value in values)


def _footer(comparison: Comparison, *, csv_file: str | os.PathLike[str] | None) -> list[str]:
    """The lines below the table: how many, in which order, what they have in common, which are damaged."""
    records = comparison.records
    chosen = "" if len(records) == comparison.num_found else f" of {comparison.num_found}"
    lines = [f"{len(records)}{chosen} experiment{'' if comparison.num_found == 1 else 's'}"
             + (f", by {comparison.order}" if comparison.order else "")]
    if records:
        lines += _common(records, comparison.columns)
    lines += [f"damaged: {record.folder}: {record.reason}" for record in records if record.status == "damaged"]
    if records and comparison.order and field_value(records[0], comparison.order.name) is not None:
        lines.append(f"{'best' if comparison.order.name.startswith('metrics.') else 'first'}: {records[0].folder}")
    return lines + ([f"written: {csv_file}"] if csv_file is not None else [])


def _common(records: Sequence[ExperimentRecord], columns: Sequence[str]) -> list[str]:
    """Returns lines about what is the same in all experiments, and about settings that differ without a column."""
    lines = []
    if len(records) > 1:
        differing = {*differing_names(records, "hparams"), *columns}
        same = {name: field_text(record, name) for record in records for name in known_names([record])
                if split_name(name)[0] == "hparams" and name not in differing}
        same |= {field: field_text(records[0], field) for field in _SHOWN_IF_THEY_DIFFER
                 if field not in columns and field_text(records[0], field)}
        if same:
            lines.append("the same in all: " + ", ".join(f"{split_name(name)[1]} {text}" for name, text in same.items()))
    hidden = [split_name(name)[1] for name in differing_names(records, "settings")
              if name not in columns and name not in _UNNAMED_SETTINGS]
    if hidden:
        more = f" and {len(hidden) - _MOST_NAMED} more" if len(hidden) > _MOST_NAMED else ""
        lines.append(f"other settings differ, too: {', '.join(hidden[:_MOST_NAMED])}{more} "
                     "(--columns settings.NAME shows one)")
    return lines
