"""Finds where the curves of two experiments part, and how far apart they are at the last epoch that both have."""

from __future__ import annotations

import math
from collections.abc import Iterator

from expman.reports.experiment_records import ExperimentRecord
from expman.reports.metrics_table import MetricsTable
from expman.reports.number_text import number_text

_LEAST_RELATIVE_DIFFERENCE = 1e-6


def curve_lines(first: ExperimentRecord, second: ExperimentRecord) -> Iterator[str]:
    """Yields a line for each curve that both experiments have and that is not the same in both.

    Curves part at the first epoch whose values differ by more than a millionth of the larger one: less comes from the
    order of additions.
    """
    for sign, record in (("-", first), ("+", second)):
        if record.metrics_table is None:
            yield f"{sign} this experiment has no {record.files.metrics_file.name} that can be read"
    if first.metrics_table is not None and second.metrics_table is not None:
        yield from _lines_of_tables(first.metrics_table, second.metrics_table)


def _lines_of_tables(first: MetricsTable, second: MetricsTable) -> Iterator[str]:
    for column in first.curves:
        one, other = dict(zip(*first.points(column))), dict(zip(*second.points(column)))
        common = sorted(one.keys() & other.keys())
        parting = next((epoch for epoch in common if not _equal(one[epoch], other[epoch])), None)
        if parting is None:
            continue
        last = common[-1]
        yield (f"{column}: {number_text(one[last])} → {number_text(other[last])} at epoch {last:g}"
               f"{_change(one[last], other[last])}, {_since(parting, first=common[0])}")
    for sign, table, beside in (("-", first, second), ("+", second, first)):
        for column in table.curves:
            if column not in beside.curves:
                yield f"{sign} {column} is in this experiment only"


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_LEAST_RELATIVE_DIFFERENCE) or (math.isnan(one) and math.isnan(other))


def _change(one: float, other: float) -> str:
    if not one or not math.isfinite(one) or not math.isfinite(other) or _equal(one, other):
        return ""
    return f" ({(other - one) / abs(one):+.1%})"


def _since(parting: float, *, first: float) -> str:
    return "different from the first epoch on" if parting == first else f"they part at epoch {parting:g}"
