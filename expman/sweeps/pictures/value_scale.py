"""Lays values of any kind out on an axis: linear, logarithmic, or one place a category."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

_LEAST_LOG_RATIO = 10
_MULTIPLES = ((1, 2, 5), (1, 3), (1,))  # of a power of ten, from dense to sparse ticks
_MOST_STEPS = 8
_MARGIN = 0.06


@dataclass(frozen=True)
class ValueScale:
    """Where the values of one quantity lie between 0 and 1.

    Attributes:
        low: the least number; 0 for categories.
        high: the largest number.
        is_log: whether equal ratios take equal lengths.
        is_integer: whether all numbers are int.
        categories: the values that are no numbers, in their order; () for numbers.
        steps: the numbers that occur, in their order, when they are a few int; else ().
    """

    low: float
    high: float
    is_log: bool = False
    is_integer: bool = False
    categories: tuple[Any, ...] = ()
    steps: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any]) -> ValueScale:
        """The scale that shows some values best.

        Numbers above 0 whose extremes differ by a factor of 10 or more are laid out logarithmically when their median comes
        nearer to the middle in this way.
        """
        if not all(_is_number(value) for value in values):
            categories = tuple(sorted(set(values), key=lambda value: (type(value).__name__, str(value))))
            return cls(0, len(categories) - 1, categories=categories)
        low, high, middle = float(min(values)), float(max(values)), float(median(values))
        is_integer = all(isinstance(value, numbers.Integral) for value in values)
        different = tuple(sorted(set(values)))
        steps = different if is_integer and len(different) <= _MOST_STEPS else ()
        linear, log = (cls(low, high, is_log=is_log, is_integer=is_integer, steps=steps) for is_log in (False, True))
        may_be_log = low > 0 and high / low >= _LEAST_LOG_RATIO
        return log if may_be_log and linear.fraction(middle) + log.fraction(middle) < 1 else linear

    def fraction(self, value: Any) -> float:
        """0 … 1 for a value of the scale."""
        if self.categories:
            value = self.categories.index(value)
        if self.high == self.low:
            return 0.5
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def spacing(self) -> float:
        """The least distance of two places, when there are only a few places; else 0."""
        places = [self.fraction(value) for value in self.categories or self.steps]
        return min((right - left for left, right in pairwise(places)), default=1.0 if places else 0.0)

    def ticks(self, most: int, *, longest_text: int = 14) -> list[tuple[float, str]]:
        """Fractions with the text to write there.

        Arguments:
            most: how many numbers to write at most; twice as many categories.
            longest_text: longer names of categories are cut.
        """
        if self.categories:
            shown = self.categories[::math.ceil(len(self.categories) / (2 * most))]
            return [(self.fraction(value), shortened(str(value), longest_text)) for value in shown]
        if self.high == self.low:
            return [(0.5, f"{self.low:.4g}")]
        if self.steps and self.spacing * most >= 0.6:
            return [(self.fraction(step), str(step)) for step in self.steps]
        return [(self.fraction(number), f"{number:.6g}") for number in self._round_numbers(most)]

    def apply(self, axis: Axis, *, most_ticks: int, longest_text: int = 14) -> None:
        """Gives an axis on which fractions are drawn the limits and ticks of this scale."""
        ticks = self.ticks(most_ticks, longest_text=longest_text)
        margin = max(_MARGIN, 0.35 * self.spacing)  # room for what lies side by side
        axis.axes.set(**{f"{axis.axis_name}lim": (-margin, 1 + margin)})
        axis.set_major_locator(FixedLocator([fraction for fraction, _ in ticks]))
        axis.set_minor_locator(NullLocator())
        axis.set_ticklabels([text for _, text in ticks])

    def _round_numbers(self, most: int) -> list[float]:
        if not self.is_log:
            found = MaxNLocator(most, integer=self.is_integer, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            return [float(number) for number in found if self._holds(number)][:most + 1]
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        candidates = [[multiple * 10.0 ** exponent for exponent in exponents for multiple in multiples]
                      for multiples in _MULTIPLES]
        inside = [[number for number in numbers_ if self._holds(number)] for numbers_ in candidates]
        fitting = next((numbers_ for numbers_ in inside if len(numbers_) <= most), None)
        return fitting or inside[-1][::math.ceil(len(inside[-1]) / most)]

    def _holds(self, number: float) -> bool:
        slack = 1e-9 * (self.high - self.low)
        return self.low - slack <= number <= self.high + slack


def shortened(text: str, longest: int) -> str:
    """A text with its middle left out when it is too long."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[:longest - 1 - tail]}…{text[-tail:]}" if tail else f"{text[:longest - 1]}…"


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
