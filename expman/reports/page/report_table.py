"""The table of experiments of a report: cells with what is shown, what it is sorted by and where it links to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.reports.compare.best_first import Order
from expman.reports.compare.comparison_table import compared, heading, is_numeric
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.record_fields import field_text, field_value


@dataclass(frozen=True)
class ReportColumn:
    """One column.

    Attributes:
        name: as `--filter` and `--columns` call it.
        head: as the page shows it.
        is_numeric: aligned to the right and sorted as numbers.
    """

    name: str
    head: str
    is_numeric: bool


@dataclass(frozen=True)
class ReportCell:
    """One cell.

    Attributes:
        text: what is shown.
        sort_value: what it is sorted by; '' for the text.
        href: where it links to; '' for nowhere.
        title: what a pointer shows; '' for nothing.
    """

    text: str
    sort_value: str = ""
    href: str = ""
    title: str = ""


@dataclass(frozen=True)
class ReportRow:
    """One experiment.

    Attributes:
        label: its short name.
        href: of its folder.
        title: the folder's whole name.
        report_href: of its own page; '' for none.
        shade: 0 for the best experiment to 1 for the worst; None for one that has no value.
        cells: one a column.
    """

    label: str
    href: str
    title: str
    report_href: str
    shade: float | None
    cells: Sequence[ReportCell]


@dataclass(frozen=True)
class ReportTable:
    """Returns the table of all experiments, the best first."""

    columns: Sequence[ReportColumn]
    rows: Sequence[ReportRow]


def experiments_table(records: Sequence[ExperimentRecord], *, order: Order | None, labels: Sequence[str],
                      href: Callable[[Path], str]) -> ReportTable:
    """The table of some experiments in their order.

    Arguments:
        records: the rows.
        order: by what they are ordered.
        labels: their short names.
        href: the link to a path.
    """
    sort = f"{order.name}:{order.mode}" if order else None
    names = [name for name in compared(records, sort=sort).columns if name != "name"]
    columns = [ReportColumn(name=name, head=heading(name, names), is_numeric=is_numeric(records, name)) for name in names]
    shades = _shades(records, order)
    rows = []
    for record, label, shade in zip(records, labels, shades):
        report = record.files.report_page
        rows.append(ReportRow(label=label, href=href(record.folder), title=record.name, shade=shade,
                              report_href=href(report) if report.is_file() else "",
                              cells=[_cell(record, column, href=href) for column in columns]))
    return ReportTable(columns=columns, rows=rows)


def _cell(record: ExperimentRecord, column: ReportColumn, *, href: Callable[[Path], str]) -> ReportCell:
    value, text = field_value(record, column.name), field_text(record, column.name)
    sort_value = "" if not isinstance(value, (int, float)) or _is_nan(value) else repr(float(value))
    if column.name == "versions" and record.versions:
        newest = record.files.model_export_folder(list(record.exported_models)[-1])
        return ReportCell(text, sort_value, href=href(newest / str(record.versions[-1])), title="newest SavedModel")
    title = record.reason if column.name == "status" else repr(value) if text and isinstance(value, float) else ""
    return ReportCell(text, sort_value, title=title)


def _shades(records: Sequence[ExperimentRecord], order: Order | None) -> list[float | None]:
    """The rank of each experiment among those that have a value, from 0 to 1."""
    has_value = [order is not None and not _is_nan(field_value(record, order.name)) for record in records]
    last, ranks = max(sum(has_value) - 1, 1), iter(range(len(records)))
    return [next(ranks) / last if present else None for present in has_value]


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
