"""Infers from the training rows what each column of a table holds; what cannot be told for sure is refused, with the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data_pipelines.table.columns import LARGEST_NUMBER, CategoryColumn, TableColumn, date_column, number_column
from data_pipelines.table.dates import DATE_FORMATS, formats_that_fit, odd_one_among_dates
from data_pipelines.table.reading import CODE, TableCells, TableFormat, parse_numbers
from data_pipelines.table.served_names import served_names

_MOST_ONE_HOT = 20  # categories; above, the network embeds them
_MOST_CATEGORIES = 1000  # rarer ones share a place
_LEAST_SHARE_OF_A_KIND = 0.8  # from here on, cells that do not fit are taken for faults
_LEAST_SHARED_WORDS = 0.5  # of the rows; below, a word tells one row and no more
_FEW_ROWS = 20  # in which all words may differ by chance


@dataclass(frozen=True, kw_only=True)
class KindOverrides:
    """The kinds that the user knows better.

    Arguments:
        numbers, categories, ignored: columns to be taken as numbers, as categories, or left out.
        dates: column → its format, one of `DATE_FORMATS`.
    """

    numbers: Sequence[str] = ()
    categories: Sequence[str] = ()
    ignored: Sequence[str] = ()
    dates: Mapping[str, str] = field(default_factory=dict)

    def check(self, cells: TableCells) -> None:
        """Raises ValueError for a column that is not there, or has two kinds, or a format that is not known."""
        for argument, names in (("numbers", self.numbers), ("categories", self.categories), ("ignore", self.ignored)):
            if isinstance(names, str):
                raise ValueError(f"{argument} must be a list of columns. Got {names!r}. Write [{names!r}].")
        named = [*self.numbers, *self.categories, *self.ignored, *self.dates]
        for name in named:
            if name not in cells.frame:
                raise ValueError(f"{cells.name} has no column {name!r}. It has: {', '.join(cells.frame)}.")
            if named.count(name) > 1:
                raise ValueError(f"column {name!r} stands in more than one of numbers, categories, dates and ignore.")
        for name, date_format in self.dates.items():
            if date_format not in DATE_FORMATS:
                raise ValueError(f"dates: the format of column {name!r} must be one of {', '.join(DATE_FORMATS)}. "
                                 f"Got {date_format!r}.")


def infer_columns(cells: TableCells, training_rows: np.ndarray, *, names: Iterable[str], form: TableFormat,
                  overrides: KindOverrides) -> tuple[list[TableColumn], dict[str, str]]:
    """The columns that enter a model, and for each of the others why it is left out.

    Arguments:
        cells: the table.
        training_rows: numbers of the rows that all decisions and statistics come from.
        names: the columns that may enter.
        form: how numbers and missing cells are written.
        overrides: what the user knows better.

    Raises:
        ValueError: a column holds mostly one kind and some of another, or dates that can be read in two ways.
    """
    left_out = dict.fromkeys(overrides.ignored, "ignore names it")
    names = [name for name in names if name not in left_out]
    columns = []
    for name, served_name in zip(names, served_names(names)):
        words = cells.frame[name].iloc[training_rows]
        made = _useless(words) or _column(cells, name, served_name, words, form=form, overrides=overrides)
        if isinstance(made, str):
            left_out[name] = made
        else:
            columns.append(made)
    if not columns:
        raise ValueError(f"{cells.name}: no column is left to learn from: "
                         + "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items()) + ".")
    return columns, left_out


def _useless(words: pd.Series) -> str | None:
    """Why nothing can be learnt from training cells, if so."""
    num_different = words.nunique()
    if num_different == 1:
        return "all cells are missing" if words.iloc[0] == "" else f"constant: {words.iloc[0]!r} in all training rows"
    return None


def _column(cells: TableCells, name: str, served_name: str, words: pd.Series, *, form: TableFormat,
            overrides: KindOverrides) -> TableColumn | str:
    """The column of training cells, or why it is left out."""
    known = words[words != ""]
    if name in overrides.dates:
        if overrides.dates[name] not in formats_that_fit(known):
            raise ValueError(f"{cells.name}: not all cells of column {name!r} are dates such as {overrides.dates[name]}, e.g. "
                             f"{known.iloc[0]!r}. Correct the format in dates, or the cells.")
        return date_column(name, served_name, words, overrides.dates[name])
    if name in overrides.categories:
        return _category(name, served_name, words, form=form)
    numbers = parse_numbers(words, form)
    is_number = ~np.isnan(numbers[words.to_numpy() != ""])
    if name in overrides.numbers or (is_number.mean() >= _LEAST_SHARE_OF_A_KIND and not known.str.fullmatch(CODE).any()):
        if not is_number.all():
            raise ValueError(_mixed(cells, known[~is_number], name=name, num_known=len(known)))
        _check_finite(cells, words, numbers, name=name)
        if name not in overrides.numbers and _counts_rows(numbers):
            return f"like an identifier: whole numbers that count the rows; numbers=[{name!r}] takes it all the same"
        return number_column(name, served_name, numbers)
    formats = formats_that_fit(known)
    if len(formats) > 1:
        raise ValueError(f"{cells.name}: the dates of column {name!r}, e.g. {known.iloc[0]!r}, can be read as "
                         f"{' and as '.join(formats)}. Say which: dates={{{name!r}: {formats[0]!r}}}.")
    if formats:
        made = date_column(name, served_name, words, formats[0])
        return made if made.parts or made.has_missing else "constant: no part of the dates varies"
    odd = odd_one_among_dates(known, _LEAST_SHARE_OF_A_KIND)
    if odd is not None:
        raise ValueError(f"{cells.place(odd)}: column {name!r} holds dates, but {known.loc[odd]!r} is none of the calendar. "
                         f"Correct the cell; if it stands for a missing cell, add it: missing=[{known.loc[odd]!r}]; if the "
                         f"column names things, write categories=[{name!r}].")
    shared = known.duplicated(keep=False).mean()
    if shared < _LEAST_SHARED_WORDS and len(known) >= _FEW_ROWS:
        return (f"like an identifier: {known.nunique()} different words in {len(known)} cells; "
                f"categories=[{name!r}] takes it all the same")
    return _category(name, served_name, words, form=form)


def _category(name: str, served_name: str, words: pd.Series, *, form: TableFormat) -> CategoryColumn:
    known = words[words != ""]
    counts = known.value_counts(sort=False)
    is_embedded = len(counts) > _MOST_ONE_HOT
    if is_embedded:  # a word of one row would be learnt by heart
        frequent = counts[counts > 1].sort_index().sort_values(ascending=False, kind="stable").head(_MOST_CATEGORIES)
        counts = frequent if len(frequent) else counts
    vocabulary = sorted(counts.index)
    numbers = parse_numbers(pd.Series(vocabulary), form)
    if not np.isnan(numbers).any() and not known.str.fullmatch(CODE).any():
        vocabulary = sorted({float(number) for number in numbers})
    return CategoryColumn(name=name, served_name=served_name, vocabulary=tuple(vocabulary), is_embedded=is_embedded,
                          has_other=bool((~known.isin(counts.index)).any()), has_missing=len(known) < len(words),
                          missing_words=tuple(form.missing_words))


def _mixed(cells: TableCells, others: pd.Series, *, name: str, num_known: int) -> str:
    word = others.iloc[0]
    return (f"{cells.place(int(others.index[0]))}: column {name!r} holds numbers, but {len(others)} of {num_known} training "
            f"cells are none, e.g. {word!r}. If it stands for a missing cell, add it: missing=[{word!r}]; if the column names "
            f"things, write categories=[{name!r}]; with decimal commas decimal=','; else correct the cell.")


def _check_finite(cells: TableCells, words: pd.Series, numbers: np.ndarray, *, name: str) -> None:
    infinite = np.flatnonzero(np.abs(numbers) > LARGEST_NUMBER)  # not NaN, which is a missing cell
    if len(infinite):
        raise ValueError(f"{cells.place(int(words.index[infinite[0]]))}: column {name!r} holds the number "
                         f"{words.iloc[infinite[0]]!r}, which cannot be normalised. Correct the cell, or leave it empty.")


def _counts_rows(numbers: np.ndarray) -> bool:
    """Tells whether numbers look like the places of the rows: whole, all different, ascending and dense."""
    return (len(numbers) >= _FEW_ROWS and bool((np.diff(numbers) > 0).all()) and bool((numbers % 1 == 0).all())
            and numbers[-1] - numbers[0] < 3 * len(numbers))
