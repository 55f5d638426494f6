"""Foresees what `DataProvider_input_pipeline.table` refuses in a column, and what it must be told instead.

It reads texts alone, without TensorFlow, and where training rows and validation rows could disagree it says outright what holds.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from data_pipelines.table.reading import TableFormat

_LARGEST_NUMBER = float(np.finfo(np.float32).max)
_MOST_ODD_SHARE = 0.2  # of cells that stand for a missing one
_MOST_ODD_WORDS = 3
_LEAST_SHARE = 0.5  # of cells of one kind, from which the others are odd ones
_MOST_CATEGORIES = 20
_FEW_ROWS = 20  # in which all words may differ by chance
_LEAST_SHARED = 0.5  # of the rows; below, a word tells one row and no more
_MARKERS = frozenset({
    "?", "??", "-", "--", "---", ".", "..", "*", "none", "nil", "missing", "unknown", "unbekannt", "n.a.", "n. a.",
    "n/a", "<na>", "#n/a", "na", "nan", "null", "(null)", "not available", "k.a.", "k. a.", "inf", "-inf", "+inf", "infinity",
    "#div/0!", "#value!", "#ref!"})


@dataclass
class TableArguments:
    """The arguments of `table` beside file, target and split.

    Attributes:
        missing: words that stand for a missing cell.
        categories, ignore: columns.
        dates: column → format.
        reasons: column → what was found in it that the user should look at.
    """

    missing: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    ignore: list[str] = field(default_factory=list)
    dates: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def as_keywords(self) -> dict[str, Any]:
        """Returns those that say something."""
        every = {"missing": self.missing, "categories": self.categories, "dates": self.dates, "ignore": self.ignore}
        return {name: value for name, value in every.items() if value}

    def leave_out(self, column: str, reason: str) -> None:
        """Names a column in `ignore`."""
        self.ignore.append(column)
        self.reasons[column] = reason


def is_marker(word: str) -> bool:
    """Returns whether a word often stands for a missing cell."""
    return word.lower() in _MARKERS


def finite_numbers(words: pd.Series, form: TableFormat) -> np.ndarray:
    """Returns the numbers of texts, NaN for what is none or too large, float64 `[rows]`."""
    from data_pipelines.table.reading import parse_numbers
    numbers = parse_numbers(words, form)
    return np.where(np.abs(numbers) <= _LARGEST_NUMBER, numbers, np.nan)


def foresee(frame: pd.DataFrame, training_rows: np.ndarray, *, target: str, form: TableFormat) -> TableArguments:
    """Returns what `table` must be told of the columns, so that it takes the file as it is.

    Arguments:
        frame: str `[rows, columns]`, '' where a cell is missing.
        training_rows: numbers of the rows that kinds are inferred from.
        target: the column to predict.
        form: how the file is written.
    """
    foresight = _Foresight(frame, training_rows, target=target, form=form)
    names = list(frame.columns.drop(target))
    for name in names:
        foresight.look_at(name)
    _leave_out_double_names(foresight.arguments, names)
    return foresight.arguments


def reasons_left_out(frame: pd.DataFrame, training_rows: np.ndarray, arguments: TableArguments, *, target: str, form: TableFormat
                     ) -> dict[str, str]:
    """Returns the columns from which `table` can learn nothing, with the reasons."""
    reasons = {}
    for name in frame.columns.drop(target):
        words = frame[name].iloc[training_rows]
        known = words[(words != "") & ~words.isin(arguments.missing)]
        if name in arguments.ignore:
            reasons[name] = arguments.reasons[name]
        elif known.empty:
            reasons[name] = "missing in all training rows"
        elif known.nunique() == 1 and len(known) == len(words):
            reasons[name] = f"the same in all training rows: {known.iloc[0]!r}"
        elif name not in (*arguments.categories, *arguments.dates) and _is_identifier(known, form):
            reasons[name] = f"like an identifier, nearly each cell differs, e.g. {known.iloc[0]!r}; categories or numbers takes it"
    return reasons


def _is_identifier(known: pd.Series, form: TableFormat) -> bool:
    if len(known) < _FEW_ROWS:
        return False
    numbers = finite_numbers(known, form)
    if np.isnan(numbers).any():
        return bool(known.duplicated(keep=False).mean() < _LEAST_SHARED and not _best_date_format(known)[1].all())
    is_dense = numbers[-1] - numbers[0] < 3 * len(numbers)
    return bool((np.diff(numbers) > 0).all() and (numbers % 1 == 0).all() and is_dense)


class _Foresight:
    """Goes through the columns one by one; see `foresee`."""

    def __init__(self, frame: pd.DataFrame, training_rows: np.ndarray, *, target: str, form: TableFormat) -> None:
        self.arguments = TableArguments()
        self._frame, self._training_rows, self._target, self._form = frame, training_rows, target, form

    def look_at(self, name: str) -> None:
        """Adds what must be said of a column."""
        from data_pipelines.table.reading import CODE
        known = self._frame[name][self._frame[name] != ""]
        if known.empty or known.str.fullmatch(CODE).any():
            return
        is_number = ~np.isnan(finite_numbers(known, self._form))
        if is_number.all():
            return
        if is_number.mean() >= _LEAST_SHARE:
            self._settle_odd_cells(name, known, known[~is_number], what="numbers")
            return
        date_format, is_date = _best_date_format(known)
        if is_date.all():
            _settle_date_format(self.arguments, name, known, date_format)
        elif is_date.mean() >= _LEAST_SHARE:
            if self._settle_odd_cells(name, known, known[~is_date], what=f"dates such as {date_format}"):
                _settle_date_format(self.arguments, name, known[is_date], date_format)
        elif is_number[known.index.isin(self._training_rows)].mean() >= _LEAST_SHARE:  # the draw put most numbers into one part
            self.arguments.leave_out(name, "numbers and words are mixed")

    def _settle_odd_cells(self, name: str, known: pd.Series, odd: pd.Series, *, what: str) -> bool:
        """Takes a few odd words for missing cells (then returns True), else the column for categories, else leaves it out."""
        words = list(dict.fromkeys(odd))
        if self._stand_for_missing(name, words, share=len(odd) / len(known)):
            self.arguments.missing += [word for word in words if word not in self.arguments.missing]
            self.arguments.reasons[name] = f"{len(odd)} cells hold {_listed(words)} among {what}: taken for missing"
            return True
        found = f"{what} in {len(known) - len(odd)} of {len(known)} cells, and others such as {words[0]!r}"
        has_odd_training_word = bool(known[known.index.isin(self._training_rows)].isin(words).any())
        if known.nunique() <= min(_MOST_CATEGORIES, len(known) / 2) and has_odd_training_word:
            self.arguments.categories.append(name)
            self.arguments.reasons[name] = f"{found}: taken for categories"
        else:
            self.arguments.leave_out(name, f"{found}: left out until the cells are corrected")
        return False

    def _stand_for_missing(self, name: str, words: list[str], *, share: float) -> bool:
        """Returns whether odd words stand for missing cells, and mean nothing else in another column."""
        if self._frame[self._target].isin(words).any():
            return False
        if all(map(is_marker, words)):
            return True
        return (len(words) <= _MOST_ODD_WORDS and share <= _MOST_ODD_SHARE and not any(map(_has_digit, words))
                and not self._frame.drop(columns=name).isin(words).any(axis=None))


def _settle_date_format(arguments: TableArguments, name: str, known: pd.Series, date_format: str) -> None:
    """Names the format where a slash leaves open which comes first, day or month."""
    if not date_format.startswith(("DD/", "MM/")):
        return
    arguments.dates[name] = date_format
    other = "MM/DD/YYYY" if date_format.startswith("DD/") else "DD/MM/YYYY"
    if _is_date(known, other).all():
        arguments.reasons[name] = f"dates such as {known.iloc[0]!r} can be read as {date_format} and as {other}"


def _best_date_format(known: pd.Series) -> tuple[str, np.ndarray]:
    from data_pipelines.table.date_patterns import DATE_PATTERNS
    fitting = {name: _is_date(known, name) for name in DATE_PATTERNS}
    best = max(fitting, key=lambda name: fitting[name].mean())
    return best, fitting[best]


def _is_date(words: pd.Series, date_format: str) -> np.ndarray:
    """Returns for each text whether it is a date of the calendar, bool `[rows]`."""
    from data_pipelines.table.date_patterns import DATE_PATTERNS
    pattern, order = DATE_PATTERNS[date_format]
    return np.array([_is_of_calendar(re.fullmatch(pattern, word, re.ASCII), order) for word in words], bool)


def _is_of_calendar(match: re.Match[str] | None, order: tuple[int, int, int]) -> bool:
    if match is None:
        return False
    year, month, day = (int(match[group]) for group in order)
    hour, minute, second = (int(match[group] or 0) for group in (4, 5, 6))
    return (1 <= month <= 12 and 1 <= day <= _days_in_month(year, month) and hour < 24 and minute < 60 and second < 60)


def _days_in_month(year: int, month: int) -> int:
    return 29 if month == 2 and calendar.isleap(year) else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _leave_out_double_names(arguments: TableArguments, names: Iterable[str]) -> None:
    """Leaves out columns that would be served under the name of one before."""
    from data_pipelines.table.served_names import served_name
    first: dict[str, str] = {}
    for name in names:
        if name in arguments.ignore:
            continue
        served = served_name(name).lower()  # upper and lower case are the same to TensorFlow
        if served in first:
            for columns in (arguments.categories, arguments.dates):
                if name in columns:
                    columns.remove(name) if isinstance(columns, list) else columns.pop(name)
            arguments.leave_out(name, f"a client would know it by the same name as {first[served]!r}, {served}: rename one")
        first.setdefault(served, name)


def _has_digit(word: str) -> bool:
    return any(map(str.isdigit, word))


def _listed(words: list[str]) -> str:
    return " and ".join(map(repr, words))
