"""Judges a column of a table as a target, and finds a draw of validation rows with which all of it can be learnt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expman.errors import UsageError
from expman.first_steps.table_columns import finite_numbers, is_marker

if TYPE_CHECKING:
    import pandas as pd

    from data_pipelines.table.reading import TableFormat

_LEAST_SHARE_OF_NUMBERS = 0.8
_MOST_CLASSES_OF_NUMBERS = 10
_MOST_CLASSES_SHARE = 0.5  # of the rows
_SHOWN_CLASSES = 5
_SPLITS = (0.2, 0.3, 0.4, 0.5)
_MOST_SEEDS = 2000
_FEW_ROWS = 10
_LARGEST_NUMBER = float(np.finfo(np.float32).max)
_PLAIN_NUMBER = r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?"
_GROUPED_NUMBER = r"[+-]?\d{1,3}(?:([,.' \u00a0\u202f\u2019])\d{3}(?:\1\d{3})*)(?:[.,]\d+)?"


@dataclass(frozen=True, kw_only=True)
class TargetColumn:
    """A column to predict.

    Attributes:
        name: of the column.
        task: 'regression' or 'classification'.
        described: what it holds, in words.
        missing_words: those that stand for a missing cell here.
        num_missing: rows without a value.
        is_sure: False where numbers are taken for classes.
    """

    name: str
    task: str
    described: str
    missing_words: list[str]
    num_missing: int
    is_sure: bool = True


def target_column(place: str, words: pd.Series, form: TableFormat) -> TargetColumn:
    """Finds out what a column is as a target.

    Arguments:
        place: how errors call the data.
        words: the column, '' where a cell is missing.
        form: how numbers are written.

    Raises:
        UsageError: there is nothing to learn in it, or it is neither numbers nor classes.
    """
    name = str(words.name)
    known = words[words != ""]
    is_number = ~np.isnan(finite_numbers(known, form))
    missing_words: list[str] = []
    if len(known) and _LEAST_SHARE_OF_NUMBERS <= is_number.mean() < 1:
        missing_words = list(dict.fromkeys(known[~is_number]))
        wrong = [word for word in missing_words if not is_marker(word)]
        if wrong:
            raise UsageError(f"{place}: the target {name!r} holds numbers, but {int((~is_number).sum())} of {len(known)} cells "
                             f"are none, e.g. {wrong[0]!r}{_why_no_number(wrong[0], form)}. Correct them, or empty them: rows "
                             "without target are left out.")
        known = known[is_number]
    if known.nunique() < 2:
        value = f"is {known.iloc[0]!r} in all rows" if len(known) else "is missing in all rows"
        raise UsageError(f"{place}: the target {name!r} {value}: there is nothing to learn. Name another column.")
    task, described, is_sure = _task(place, known, form)
    return TargetColumn(name=name, task=task, described=described, missing_words=missing_words, is_sure=is_sure,
                        num_missing=len(words) - len(known))


def split_of(place: str, known: pd.Series, *, task: str) -> tuple[float, int, np.ndarray]:
    """Returns a fraction and a seed with which `table` draws parts that can be learnt and measured.

    Arguments:
        place: how errors call the data.
        known: the target's words, rows without one left out.
        task: 'regression' or 'classification'.

    Returns:
        The fraction of rows that validate, the seed of the draw, and the numbers of the training rows.

    Raises:
        UsageError: no draw does, since classes or rows are too few.
    """
    from data_pipelines.table.splitting import drawn
    words = known.to_numpy()
    for fraction in _SPLITS:
        for seed in range(_MOST_SEEDS):
            in_validation = drawn(len(words), fraction=fraction, seed=seed)
            if _is_useful(words, in_validation, task=task):
                return fraction, seed, np.flatnonzero(~in_validation)
    counts = known.value_counts()
    rare = [str(name) for name in counts.index[counts < 2]] if task == "classification" else []
    raise UsageError(f"{place}: {len(words)} rows cannot be split into training and validation rows"
                     + (f" so that every class is trained: {len(rare)} classes have a single row, e.g. "
                        f"{rare[0]!r}" if rare else "")
                     + ". Add rows" + (", or join rare classes." if rare else "."))


def _task(place: str, known: pd.Series, form: TableFormat) -> tuple[str, str, bool]:
    from data_pipelines.table.deviation import deviation_of
    numbers = finite_numbers(known, form)
    num_different = known.nunique()
    if not np.isnan(numbers).any():
        if not deviation_of(numbers):
            raise UsageError(f"{place}: the numbers of the target {known.name!r}, e.g. {known.iloc[0]!r}, differ by less than "
                             "float32 can tell: there is nothing to learn. Write them in other units, or name another column.")
        is_whole = bool((numbers % 1 == 0).all())
        if is_whole and num_different <= min(_MOST_CLASSES_OF_NUMBERS, _MOST_CLASSES_SHARE * len(known)):
            return "classification", f"{num_different} different whole numbers: {_listed(known)}", False
        return "regression", f"numbers from {np.min(numbers):g} to {np.max(numbers):g}", True
    _check_are_words(place, known, form)
    if num_different > _MOST_CLASSES_SHARE * len(known):
        raise UsageError(f"{place}: the target {known.name!r} has {num_different} different words in {len(known)} rows, e.g. "
                         f"{known.iloc[0]!r}, which are no classes and no numbers. Name another column.")
    return "classification", f"{num_different} classes: {_listed(known)}", True


def _check_are_words(place: str, known: pd.Series, form: TableFormat) -> None:
    """Refuses numbers that cannot be read as such, and so would be taken for words."""
    odd = known[np.isnan(finite_numbers(known, form))]
    is_alike = odd.map(lambda word: bool(_why_no_number(word, form)))
    if known.nunique() <= _MOST_CLASSES_OF_NUMBERS or not is_alike.any():
        return
    if (len(known) - len(odd) + is_alike.sum()) / len(known) >= _LEAST_SHARE_OF_NUMBERS:
        word = odd[is_alike].iloc[0]
        raise UsageError(f"{place}: the target {known.name!r} seems to hold numbers, but {len(odd)} of {len(known)} cells "
                         f"cannot be read as such, e.g. {word!r}{_why_no_number(word, form)}. Correct them, or name another column.")


def _why_no_number(word: str, form: TableFormat) -> str:
    """Says what keeps a text from being a number, '' where it is none at all."""
    plain = word.replace(form.decimal, ".")
    if re.fullmatch(_PLAIN_NUMBER, plain) and abs(float(plain)) > _LARGEST_NUMBER:
        return f" (too large for float32, which ends at {_LARGEST_NUMBER:.2g}: write it in a larger unit)"
    if re.fullmatch(_GROUPED_NUMBER, word):
        return " (it has thousands separators: write the digits without them)"
    return ""


def _is_useful(words: np.ndarray, in_validation: np.ndarray, *, task: str) -> bool:
    training, validation = words[~in_validation], words[in_validation]
    if len(validation) < (1 if len(words) < _FEW_ROWS else 2) or len(training) < 2:
        return False
    classes = set(training)
    if len(classes) < 2:
        return False
    return task == "regression" or (set(validation) <= classes and len(classes) <= _MOST_CLASSES_SHARE * len(training))


def _listed(known: pd.Series) -> str:
    classes = sorted(known.unique())
    return ", ".join(map(repr, classes[:_SHOWN_CLASSES])) + (" …" if len(classes) > _SHOWN_CLASSES else "")
