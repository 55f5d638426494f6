"""Which rows of a table train and which validate: drawn by a seed, by whole groups, or as a column says."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from data_pipelines.table.reading import TableCells

TRAINING_WORDS = ("train", "training", "fit")
VALIDATION_WORDS = ("val", "valid", "validation", "dev")
_TEST_WORDS = ("test", "holdout")
_SHOWN_WORDS = 5
_LOG = logging.getLogger(__name__)


def split_rows(cells: TableCells, *, split: float | str, group: str | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the rows of the two parts.

    Arguments:
        cells: the table.
        split: the fraction of rows (with `group`: of groups) to validate on; or the column that says 'train' or 'validation'
            ('test': in neither part).
        group: the column whose rows with the same word must not be torn apart.
        seed: of the draw; rows added at the end change nothing for those before them.

    Returns:
        The numbers of the training rows and of the validation rows, ascending.

    Raises:
        ValueError: an argument is not valid, a part is empty, or a group is in both parts.
    """
    for column in filter(None, (group, split if isinstance(split, str) else None)):
        if column not in cells.frame:
            raise ValueError(f"{cells.name} has no column {column!r} to split by. It has: {', '.join(cells.frame)}.")
    if isinstance(split, str):
        in_training, in_validation = _parts_of_column(cells, split)
    else:
        if isinstance(split, bool) or not isinstance(split, (int, float)) or not 0 < split < 1:
            raise ValueError(f"split must be a fraction between 0 and 1, or the name of a column. Got {split!r}.")
        in_validation = _drawn(cells, fraction=split, group=group, seed=seed)
        in_training = ~in_validation
    for part, rows in (("training", in_training), ("validation", in_validation)):
        if not rows.any():
            raise ValueError(f"{cells.name}: no row is in the {part} part of {len(rows)} rows. Change split={split!r}.")
    if group is not None and isinstance(split, str):
        words = cells.frame[group].to_numpy()
        torn = sorted(set(words[in_training]) & set(words[in_validation]))
        if torn:
            raise ValueError(f"{cells.name}: {len(torn)} groups of column {group!r} are in both parts that column {split!r} "
                             f"names ({_shown(torn)}): validation would know them already. Move each to one part.")
    _tell_repeated_rows(cells, in_training, in_validation)
    return np.flatnonzero(in_training), np.flatnonzero(in_validation)


def drawn(number: int, *, fraction: float, seed: int) -> np.ndarray:
    """Returns for each of some rows, or groups, whether it validates, bool `[number]`."""
    return np.random.default_rng(seed).random(number) < fraction


def _drawn(cells: TableCells, *, fraction: float, group: str | None, seed: int) -> np.ndarray:
    if group is None:
        return drawn(len(cells.frame), fraction=fraction, seed=seed)
    words = cells.frame[group]
    groups = words.drop_duplicates().to_numpy()  # in the order of their first rows
    if "" in groups:
        raise ValueError(f"{cells.place(int(np.argmax(words == '')))}: the group in column {group!r} is missing. Fill it in.")
    return words.isin(groups[drawn(len(groups), fraction=fraction, seed=seed)]).to_numpy()


def _parts_of_column(cells: TableCells, column: str) -> tuple[np.ndarray, np.ndarray]:
    words = cells.frame[column].str.lower()
    known = (*TRAINING_WORDS, *VALIDATION_WORDS, *_TEST_WORDS)
    unknown = np.flatnonzero(~words.isin(known))
    if len(unknown):
        raise ValueError(f"{cells.place(int(unknown[0]))}: column {column!r} must name the part of each row: 'train', "
                         f"'validation' or 'test'. Got {cells.frame[column].iloc[unknown[0]]!r}. To keep rows with the same "
                         f"word of a column together, write split=0.2, group={column!r}.")
    in_validation = words.isin(VALIDATION_WORDS)
    if not in_validation.any():
        raise ValueError(f"{cells.name}: column {column!r} names no validation row, only {_shown(sorted(set(words)))}. "
                         "Write 'validation' for some.")
    return words.isin(TRAINING_WORDS).to_numpy(), in_validation.to_numpy()


def _tell_repeated_rows(cells: TableCells, in_training: np.ndarray, in_validation: np.ndarray) -> None:
    rows = pd.util.hash_pandas_object(cells.frame, index=False)
    num_repeated = int(rows[in_validation].isin(rows[in_training]).sum())
    if num_repeated:
        _LOG.warning("%s: %d of %d validation rows are also, cell by cell, in the training part: the score will flatter. "
                     "Remove repeated rows, or keep them together by group=COLUMN.", cells.name, num_repeated,
                     int(in_validation.sum()))


def _shown(words: list[str]) -> str:
    return ", ".join(map(repr, words[:_SHOWN_WORDS])) + (" …" if len(words) > _SHOWN_WORDS else "")
