"""The numbers behind the curves of a report: which charts there are, and their points in few bytes."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from expman.reports.experiment_records import ExperimentRecord

_MOST_VALUES = 300_000
_FEWEST_POINTS = 50
_LEAST_RATIO_FOR_LOG = 30.0
_VALIDATION = "val_"


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        label: what the line is, where no row of a table says so.
        epochs: epochs done then, ascending; whole numbers from 1 but for evaluations within epochs.
        values: as many; NaN and infinities leave a gap.
    """

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class CurveChart:
    """The curves of one quantity.

    Attributes:
        title: the quantity.
        kind: 'validation', 'training' or 'training and validation'.
        lines: row → its line; the rows are those of the page's table of experiments, or just 0, 1 …
    """

    title: str
    kind: str
    lines: dict[int, Line] = field(default_factory=dict)

    @property
    def is_log(self) -> bool:
        """True when the values span so many powers of ten that an axis of logarithms shows more."""
        values = [value for line in self.lines.values() for value in line.values if math.isfinite(value)]
        return bool(values) and min(values) > 0 and max(values) / min(values) >= _LEAST_RATIO_FOR_LOG

    @property
    def num_values(self) -> int:
        """The number of points of all lines."""
        return sum(len(line.values) for line in self.lines.values())

    @property
    def description(self) -> str:
        """A sentence for those who cannot see the chart."""
        values = [value for line in self.lines.values() for value in line.values if math.isfinite(value)]
        last_epoch = max((line.epochs[-1] for line in self.lines.values()), default=0)
        span = f"values from {min(values):.4g} to {max(values):.4g}" if values else "no values"
        num_lines = len(self.lines)
        curves = f"{num_lines} curve{'' if num_lines == 1 else 's'}"
        return f"{self.title}, {self.kind}: {curves} over {last_epoch:g} epochs, {span}."

    def as_json(self, *, most_points: int) -> dict[str, Any]:
        """The lines for the page's script: 32-bit floats, little-endian, in base64, one line after the other."""
        thinned = [_thinned(line, most_points=most_points) for line in self.lines.values()]
        is_gapless = all(list(line.epochs) == list(range(1, len(line.epochs) + 1)) for line in thinned)
        return {"rows": list(self.lines), "labels": [line.label for line in thinned],
                "counts": [len(line.values) for line in thinned], "is_log": self.is_log,
                "values": _packed("f", (value for line in thinned for value in map(_drawable, line.values))),
                "epochs": None if is_gapless else _packed("f", (epoch for line in thinned for epoch in line.epochs))}


def curves_of_many(records: Sequence[ExperimentRecord], *, first: str) -> list[CurveChart]:
    """A chart for each column of the experiments' `metrics.csv`, a line for each experiment.

    Arguments:
        records: their index is the row of their line.
        first: the validation metric whose chart comes first.
    """
    columns = dict.fromkeys(column for record in records if record.metrics_table for column in record.metrics_table.curves)
    charts = []
    for column in sorted(columns, key=lambda column: (column != f"{_VALIDATION}{first}", not column.startswith(_VALIDATION))):
        chart = CurveChart(title=column.removeprefix(_VALIDATION),
                           kind="validation" if column.startswith(_VALIDATION) else "training")
        chart.lines.update({row: line for row, record in enumerate(records) for line in _lines(record, column, label="")})
        if chart.lines:
            charts.append(chart)
    return charts


def curves_of_one(record: ExperimentRecord, *, first: str) -> list[CurveChart]:
    """A chart for each quantity of one experiment, with a line for training and one for validation as far as they exist."""
    columns = record.metrics_table.curves if record.metrics_table else ()
    titles = dict.fromkeys(column.removeprefix(_VALIDATION) for column in columns)
    charts = []
    for title in sorted(titles, key=lambda title: title != first):
        parts = (("training", title), ("validation", f"{_VALIDATION}{title}"))
        lines = {row: line for row, (label, column) in enumerate(parts) for line in _lines(record, column, label=label)}
        if lines:
            charts.append(CurveChart(title=title, kind=" and ".join(line.label for line in lines.values()), lines=lines))
    return charts


def points_per_line(charts: Iterable[CurveChart]) -> int:
    """Returns the number of points a line may have so that the page stays small; at least `_FEWEST_POINTS`."""
    charts = list(charts)
    if sum(chart.num_values for chart in charts) <= _MOST_VALUES:
        return sys.maxsize
    return max(_FEWEST_POINTS, _MOST_VALUES // sum(len(chart.lines) for chart in charts))


def _lines(record: ExperimentRecord, column: str, *, label: str) -> Iterator[Line]:
    """The line of a column, if it has a point."""
    epochs, values = record.metrics_table.points(column) if record.metrics_table else ((), ())
    if values:
        yield Line(label, epochs, values)


def _thinned(line: Line, *, most_points: int) -> Line:
    """A line with fewer points, evenly spread; its first, last, lowest and highest stay."""
    count = len(line.values)
    if count <= most_points:
        return line
    spread = most_points - 2
    kept = {round(index * (count - 1) / (spread - 1)) for index in range(spread)}
    finite = [index for index in range(count) if math.isfinite(line.values[index])]
    kept |= {pick(finite, key=line.values.__getitem__) for pick in (min, max) if finite}
    order = sorted(kept)
    return Line(line.label, [line.epochs[index] for index in order], [line.values[index] for index in order])


def _drawable(value: float) -> float:
    """The value as a 32-bit float, NaN for what no axis can show."""
    return value if abs(value) < 3e38 else math.nan


def _packed(kind: str, numbers: Iterable[float]) -> str:
    packed = array(kind, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode("ascii")
