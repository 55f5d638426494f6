"""Tells of words in a table that differ only by case, and so are categories of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from data_pipelines.table.reading import TableCells

_MOST_GROUPS = 5


def notice_of_case(cells: TableCells, columns: Iterable[str]) -> str | None:
    """Names, for all columns at once, the words that differ only by case, with the number of their cells; None without any.

    Arguments:
        cells: all rows.
        columns: those whose words are categories or classes.
    """
    groups = [f"column {name!r}: " + " beside ".join(f"{word!r} ({counts[word]})" for word in words)
              for name in columns for counts in [cells.frame[name].value_counts()] for words in _alike(counts)]
    if not groups:
        return None
    others = [f"{len(groups) - _MOST_GROUPS} more"] if len(groups) > _MOST_GROUPS else []
    return (f"{cells.name}: words that differ only by case count as different: {'; '.join([*groups[:_MOST_GROUPS], *others])} "
            "(number of cells). Where they mean the same, write them alike in the file.")


def _alike(counts: pd.Series) -> list[Sequence[str]]:
    """The words that are the same without regard to case, in order of their cells, the most frequent first."""
    by_folded: dict[str, list[str]] = {}
    for word in sorted(counts.index, key=lambda word: (-counts[word], word)):
        by_folded.setdefault(word.casefold(), []).append(word)
    return [words for words in by_folded.values() if len(words) > 1]
