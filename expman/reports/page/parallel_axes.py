"""The axes of parallel coordinates: one a hyperparameter that differs, and at the right the metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expman.reports.experiment_records import ExperimentRecord
from expman.reports.record_fields import differing_names, field_value, split_name, value_text

_LEAST_RATIO_FOR_LOG = 10.0
_NUM_TICKS = 5
_LEAST_TICK_DISTANCE = 0.05
_MOST_CATEGORIES = 12
_MISSING_POSITION = -0.12
_MOST_AXES = 14


@dataclass(frozen=True)
class ParallelAxis:
    """One vertical axis from 0 (bottom) to 1.

    Attributes:
        name: as `record_fields` names it.
        positions: one a record; below 0 for a record without the quantity.
        ticks: (position, text).
        scale: 'linear', 'logarithmic' or 'categories'.
    """

    name: str
    positions: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    scale: str

    @property
    def title(self) -> str:
        """The name without the prefix of its kind."""
        return split_name(self.name)[1]

    def as_json(self) -> dict[str, Any]:
        """Returns what the page's script draws of the axis."""
        return {"name": self.name, "title": self.title, "positions": [round(at, 4) for at in self.positions],
                "ticks": [[round(at, 4), text] for at, text in self.ticks], "scale": self.scale}


def parallel_axes(records: Sequence[ExperimentRecord], *, metric: str) -> list[ParallelAxis]:
    """The axes that tell something about some experiments; [] when fewer than two do.

    Arguments:
        records: one line each.
        metric: name of the quantity for the last axis, e.g. 'metrics.loss'.
    """
    names = [*differing_names(records, "hparams")[:_MOST_AXES - 1], metric]
    axes = [_axis(name, [field_value(record, name) for record in records]) for name in names]
    return axes if len(axes) > 1 and any(position >= 0 for position in axes[-1].positions) else []


def _axis(name: str, values: Sequence[Any]) -> ParallelAxis:
    values = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        places, ticks, scale = _numeric(present)
    else:
        places, ticks, scale = _categorical(present)
    missing = [(_MISSING_POSITION, "none")] if len(present) < len(values) else []
    positions = [_MISSING_POSITION if value is None else places[_key(value)] for value in values]
    return ParallelAxis(name=name, positions=positions, ticks=[*missing, *ticks], scale=scale)


def _numeric(values: Sequence[float]) -> tuple[dict[Any, float], list[tuple[float, str]], str]:
    lowest, highest = min(values), max(values)
    is_log = lowest > 0 and highest / lowest >= _LEAST_RATIO_FOR_LOG
    forward, _back = (math.log, math.exp) if is_log else (float, float)
    low, high = forward(lowest), forward(highest)

    def place(value: float) -> float:
        return (forward(value) - low) / (high - low) if high > low else 0.5

    distinct = sorted(set(values))
    marked = distinct if len(distinct) <= _NUM_TICKS else _round_values(lowest, highest, is_log=is_log)
    ticks: list[tuple[float, str]] = []
    for value in marked:
        if not ticks or place(value) - ticks[-1][0] >= _LEAST_TICK_DISTANCE:
            ticks.append((place(value), value_text(value)))
    return {_key(value): place(value) for value in values}, ticks, "logarithmic" if is_log else "linear"


def _round_values(lowest: float, highest: float, *, is_log: bool) -> list[float]:
    """Round numbers between two values, about as many as an axis has room for."""
    if is_log:
        exponents = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
        factors = (1, 2, 5) if len(exponents) <= _NUM_TICKS - 1 else (1,)
        found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        found = [value for value in found if lowest <= value <= highest]
        return found[::math.ceil(len(found) / _MOST_CATEGORIES)]
    size = 10.0 ** math.floor(math.log10((highest - lowest) / _NUM_TICKS))
    step = next(factor * size for factor in (1, 2, 5, 10) if (highest - lowest) / (factor * size) <= _NUM_TICKS)
    return [index * step for index in range(math.ceil(lowest / step), math.floor(highest / step) + 1)]


def _categorical(values: Sequence[Any]) -> tuple[dict[Any, float], list[tuple[float, str]], str]:
    distinct = sorted({_key(value) for value in values}, key=lambda key: key[1])
    places = {key: index / (len(distinct) - 1) if len(distinct) > 1 else 0.5 for index, key in enumerate(distinct)}
    step = math.ceil(len(distinct) / _MOST_CATEGORIES) if distinct else 1
    return places, [(places[key], key[1]) for key in distinct[::step]], "categories"


def _key(value: Any) -> tuple[str, str]:
    """Tells values of different types apart, and takes what cannot be a key of a dict."""
    return (type(value).__name__ if isinstance(value, (bool, str)) else "", str(value))
