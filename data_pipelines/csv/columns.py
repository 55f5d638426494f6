"""Named columns of a CSV file, and their ways to become numbers: as they are, one-hot by word, one-hot by interval."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers; one feature.

    Arguments:
        name: the column's name in the header.
        normaliser: None, the pair (mean, standard deviation) → (x − mean) / standard deviation, or a pure NumPy function from
            float64 `[rows]` to an array of the same shape.
        default: stands for a missing cell, before the normaliser; None: a missing cell is an error.

    Raises:
        ValueError: an argument is not valid.
    """

    name: str
    normaliser: Callable[[np.ndarray], np.ndarray] | tuple[float, float] | None = None
    default: float | None = None

    kind: ClassVar[str] = "number"
    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_name(self)
        _check_default(self)
        if self.normaliser is None or callable(self.normaliser):
            return
        pair = self.normaliser
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_finite, pair)) and pair[1] > 0):
            raise ValueError(f"NumericColumn({self.name!r}): normaliser must be a function or the pair (mean, standard "
                             f"deviation) with a deviation above 0. Got {self.normaliser!r}.")

    @property
    def feature_name(self) -> str:
        """The key in a dict of features."""
        return self.name

    def encode(self, cells: np.ndarray) -> np.ndarray:
        """Features `[rows, 1]` of numbers `[rows]`, NaN where a cell is missing."""
        return self.normalised(_filled(cells, self.default))[:, None]

    def normalised(self, values: np.ndarray) -> np.ndarray:
        """The values after the normaliser.

        Raises:
            TypeError: the normaliser is a function that returns another shape.
        """
        if self.normaliser is None:
            return values
        if not callable(self.normaliser):
            mean, deviation = self.normaliser
            return (values - mean) / deviation
        result = np.asarray(self.normaliser(values))
        if result.shape != values.shape:
            raise TypeError(f"NumericColumn({self.name!r}): the normaliser must return an array like its argument. "
                            f"Got the shape {result.shape} for {values.shape}.")
        return result

    def label(self, cells: np.ndarray) -> np.ndarray:
        """The label of each row, float64 `[rows]`."""
        return self.encode(cells)[:, 0]


@dataclass(frozen=True)
class VocabularyColumn:
    """A column of words; as many features as words, and one more, the last, for any other word and for a missing cell.

    As a label it is the place of the word in the vocabulary, and any other word is an error.

    Arguments:
        name: the column's name in the header.
        vocabulary: the words, as they stand in the file, all different.

    Raises:
        ValueError: an argument is not valid.
    """

    name: str
    vocabulary: Sequence[str]

    kind: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        _check_name(self)
        if isinstance(self.vocabulary, str) or not len(self.vocabulary) or not all(
                isinstance(word, str) and word for word in self.vocabulary):
            raise ValueError(f"VocabularyColumn({self.name!r}): vocabulary must be a list of words, as they stand in the file, "
                             f"e.g. ['1', '2']. Got {self.vocabulary!r}.")
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError(f"VocabularyColumn({self.name!r}): a word stands twice in the vocabulary {self.vocabulary!r}.")
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.vocabulary) + 1

    @property
    def feature_name(self) -> str:
        """The key in a dict of features."""
        return self.name

    def encode(self, cells: np.ndarray) -> np.ndarray:
        """Features `[rows, width]`, each row with a single 1, of words as bytes `[rows]`."""
        return _one_hot(self.label(cells), self.width)

    def label(self, cells: np.ndarray) -> np.ndarray:
        """The place of each word (bytes) in the vocabulary, int64 `[rows]`; `len(vocabulary)` for any other."""
        words = np.array([word.encode() for word in self.vocabulary])
        order = np.argsort(words)
        nearest = order[np.minimum(np.searchsorted(words, cells, sorter=order), len(words) - 1)]
        return np.where(words[nearest] == cells, nearest, len(words))


@dataclass(frozen=True)
class BucketColumn:
    """A column of numbers, by the interval in which each lies; one more feature than boundaries.

    Interval i holds boundaries[i−1] ≤ x < boundaries[i], as for `numpy.digitize` and `keras.layers.Discretization`. As a label
    it is the interval's number, from 0.

    Arguments:
        name: the column's name in the header.
        boundaries: of the intervals, ascending.
        default: stands for a missing cell; None: a missing cell is an error.

    Raises:
        ValueError: an argument is not valid.
    """

    name: str
    boundaries: Sequence[float]
    default: float | None = None

    kind: ClassVar[str] = "number"

    def __post_init__(self) -> None:
        _check_name(self)
        _check_default(self)
        if self.default is not None and np.isnan(self.default):
            raise ValueError(f"BucketColumn({self.name!r}): default must not be NaN, which lies in no interval.")
        bounds = list(self.boundaries)
        if not bounds or not all(_is_finite(bound) for bound in bounds) or any(a >= b for a, b in itertools.pairwise(bounds)):
            raise ValueError(f"BucketColumn({self.name!r}): boundaries must be ascending numbers, at least one. "
                             f"Got {self.boundaries!r}.")
        object.__setattr__(self, "boundaries", tuple(bounds))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.boundaries) + 1

    @property
    def feature_name(self) -> str:
        """The key in a dict of features; the column may be there as a number, too."""
        return f"{self.name}_buckets"

    def encode(self, cells: np.ndarray) -> np.ndarray:
        """Features `[rows, width]`, each row with a single 1, of numbers `[rows]`, NaN where a cell is missing."""
        return _one_hot(self.label(cells), self.width)

    def label(self, cells: np.ndarray) -> np.ndarray:
        """The number of the interval of each value, int64 `[rows]`."""
        return np.digitize(_filled(cells, self.default), self.boundaries)


CsvFeature = NumericColumn | VocabularyColumn | BucketColumn


def encode_columns(values: Mapping[str, Any], columns: Sequence[CsvFeature]) -> np.ndarray:
    """Makes of named values the features that `FileListProcessor_csv_lines` makes of a file: for clients of a served model.

    Arguments:
        values: column's name → its values `[rows]`, numbers or words; a pandas DataFrame will do. NaN or None: missing.
        columns: as for `FileListProcessor_csv_lines`.

    Returns:
        Features, float32 `[rows, n_features]`.

    Raises:
        ValueError: a column is missing, holds no numbers where it should, or lacks a value and has no default.
    """
    missing = [column.name for column in columns if column.name not in values]
    if missing:
        raise ValueError(f"values lacks the columns {', '.join(map(repr, missing))}. It has {', '.join(map(repr, values))}.")
    parts = []
    for column in columns:
        if column.kind == "text":
            words = ["" if word is None or word != word else str(word) for word in values[column.name]]  # NaN differs from itself
            parts.append(column.encode(np.array([word.encode() for word in words])))
            continue
        cells = np.asarray(values[column.name], np.float64)
        if column.default is None and np.isnan(cells).any():
            raise ValueError(f"values: a value of {column.name!r} is missing, and the column has no default.")
        parts.append(column.encode(cells))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _filled(cells: np.ndarray, default: float | None) -> np.ndarray:
    return cells if default is None else np.where(np.isnan(cells), default, cells)


def _one_hot(places: np.ndarray, width: int) -> np.ndarray:
    rows = np.zeros([len(places), width], np.float32)
    rows[np.arange(len(places)), places] = 1
    return rows


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and bool(np.isfinite(value))


def _check_name(column: CsvFeature) -> None:
    if not isinstance(column.name, str) or not column.name:
        raise ValueError(f"{type(column).__name__}: name must be the column's name in the header. Got {column.name!r}.")


def _check_default(column: NumericColumn | BucketColumn) -> None:
    if column.default is not None and (not isinstance(column.default, numbers.Real) or isinstance(column.default, bool)):
        raise ValueError(f"{type(column).__name__}({column.name!r}): default must be a number or None. "
                         f"Got {column.default!r}.")
