"""The columns of a table, with the statistics of the training rows, and their ways to become numbers, in TensorFlow ops."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from data_pipelines.table.dates import date_parts
from data_pipelines.table.deviation import deviation_of

LARGEST_NUMBER = float(np.finfo(np.float32).max)
_MOST_HASHES = 2**62
_CYCLES = {"month": (1, 12), "day": (1, 31), "weekday": (0, 7), "hour": (0, 24)}  # part → its least value, its period


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """A column of numbers: normalised; a missing cell (NaN, infinity) becomes the mean, and an indicator is 1.

    Attributes:
        name, served_name: in the file, and of the served input.
        mean, standard_deviation: of the training cells that are not missing; population, as scikit-learn's StandardScaler.
        has_missing: whether training cells are missing; else there is no indicator.
    """

    name: str
    served_name: str
    mean: float
    standard_deviation: float
    has_missing: bool

    kind: ClassVar[str] = "number"
    dtype: ClassVar[tf.DType] = tf.float64
    is_embedded: ClassVar[bool] = False

    def encode(self, cells: tf.Tensor) -> tf.Tensor:
        """Float32 `[batch, 1 or 2]` of float64 `[batch]`."""
        scaled = (cells - self.mean) / (self.standard_deviation or 1.0)
        is_known = tf.maximum(tf.abs(cells), tf.abs(scaled)) <= LARGEST_NUMBER  # neither NaN nor what float32 cannot hold
        scaled = tf.where(is_known, scaled, tf.zeros_like(scaled))
        return _joined([scaled], is_known=is_known, has_missing=self.has_missing)


@dataclass(frozen=True, kw_only=True)
class CategoryColumn:
    """A column of words, or of numbers that are names: one place a word; a missing cell or an unknown word gives zeros.

    Attributes:
        name, served_name: in the file, and of the served input.
        vocabulary: the words in order; numbers where all cells are numbers.
        has_other: whether one more place stands for rare words of the training rows; unknown words are taken as such.
        has_missing: whether one more place stands for missing cells, of which the training rows have some.
        is_embedded: whether the network is to make a few trained numbers of it.
    """

    name: str
    served_name: str
    vocabulary: Sequence[str] | Sequence[float]
    has_other: bool
    has_missing: bool
    is_embedded: bool
    missing_words: Sequence[str] = ("",)

    kind: ClassVar[str] = "category"

    @property
    def holds_numbers(self) -> bool:
        """Tells whether the words are numbers."""
        return not isinstance(self.vocabulary[0], str)

    @property
    def dtype(self) -> tf.DType:
        """float64 for numbers, else string."""
        return tf.float64 if self.holds_numbers else tf.string

    def encode(self, cells: tf.Tensor) -> tf.Tensor:
        """Float32 `[batch, places]`, each row with at most one 1, of str or float64 `[batch]`."""
        if self.holds_numbers:
            is_known = tf.math.is_finite(cells)
        else:
            cells = tf.strings.strip(cells)
            is_known = ~_is_among(cells, self.missing_words)
        nearest, is_found = self._found(cells)
        num_words = len(self.vocabulary)
        place = tf.where(is_found, nearest, num_words if self.has_other else -1)
        place = tf.where(is_known, place, num_words + self.has_other if self.has_missing else -1)
        return tf.one_hot(place, num_words + self.has_other + self.has_missing)

    def _found(self, cells: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """For each cell a place in the vocabulary, by binary search, and whether the cell is what stands there."""
        words = tf.constant(self.vocabulary, self.dtype)
        keys, wanted = (words, cells) if self.holds_numbers else (_hashed(words), _hashed(cells))
        order = tf.argsort(keys)
        position = tf.searchsorted(tf.gather(keys, order), wanted)
        nearest = tf.gather(order, tf.minimum(position, len(self.vocabulary) - 1))
        return nearest, tf.gather(words, nearest) == cells


@dataclass(frozen=True, kw_only=True)
class DateColumn:
    """A column of dates: the year normalised, other parts as sine and cosine; what does not vary in the training rows is out.

    A missing cell, or one that is no date, gives zeros, and an indicator is 1.

    Attributes:
        name, served_name: in the file, and of the served input.
        date_format: see `data_pipelines.table.dates`.
        parts: those of `DATE_PARTS` that enter.
        year_mean, year_standard_deviation: of the training cells.
        has_missing: whether training cells are missing; else there is no indicator.
    """

    name: str
    served_name: str
    date_format: str
    parts: Sequence[str]
    year_mean: float
    year_standard_deviation: float
    has_missing: bool

    kind: ClassVar[str] = "date"
    dtype: ClassVar[tf.DType] = tf.string
    is_embedded: ClassVar[bool] = False

    def encode(self, cells: tf.Tensor) -> tf.Tensor:
        """Float32 `[batch, features]` of str `[batch]`."""
        parts, is_date = date_parts(tf.strings.strip(cells), self.date_format)
        features = []
        for part in self.parts:
            if part == "year":
                features.append((parts["year"] - self.year_mean) / (self.year_standard_deviation or 1.0))
                continue
            least, period = _CYCLES[part]
            angle = (parts[part] - least) * (2 * math.pi / period)
            features += [tf.sin(angle), tf.cos(angle)]
        features = [tf.where(is_date, feature, tf.zeros_like(feature)) for feature in features]
        return _joined(features, is_known=is_date, has_missing=self.has_missing)


TableColumn = NumberColumn | CategoryColumn | DateColumn
_KINDS = {kind.kind: kind for kind in (NumberColumn, CategoryColumn, DateColumn)}


def number_column(name: str, served_name: str, numbers: np.ndarray) -> NumberColumn:
    """A column with the statistics of training cells, float64 `[rows]`, NaN where missing."""
    return NumberColumn(name=name, served_name=served_name, mean=float(np.nanmean(numbers)),
                        standard_deviation=deviation_of(numbers), has_missing=bool(np.isnan(numbers).any()))


def date_column(name: str, served_name: str, words: Sequence[str], date_format: str) -> DateColumn:
    """A column with the statistics of training cells, '' where missing."""
    parts, is_date = date_parts(tf.constant(list(words)), date_format)
    known = {part: values.numpy()[is_date.numpy()] for part, values in parts.items()}
    varies = {part: len(np.unique(values)) > 1 for part, values in known.items()}
    varies["weekday"] &= varies["day"]  # else it only tells the year once more
    return DateColumn(name=name, served_name=served_name, date_format=date_format,
                      parts=tuple(part for part in known if varies[part]), year_mean=float(known["year"].mean()),
                      year_standard_deviation=float(known["year"].std()), has_missing=bool(not is_date.numpy().all()))


def as_record(column: TableColumn) -> dict[str, Any]:
    """Returns for JSON what `from_record` makes the column of; floats come back to the bit."""
    return {"kind": column.kind, **dataclasses.asdict(column)}


def from_record(record: Mapping[str, Any]) -> TableColumn:
    """The column that `as_record` described."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items() if name != "kind"}
    return _KINDS[record["kind"]](**values)


def _joined(features: Sequence[tf.Tensor], *, is_known: tf.Tensor, has_missing: bool) -> tf.Tensor:
    indicator = [tf.cast(~is_known, tf.float64)] if has_missing else []
    return tf.cast(tf.stack([*(tf.cast(feature, tf.float64) for feature in features), *indicator], axis=1), tf.float32)


def _hashed(words: tf.Tensor) -> tf.Tensor:
    """Numbers that can be searched; that two of some thousand words share one does not happen in practice."""
    return tf.strings.to_hash_bucket_fast(words, _MOST_HASHES)


def _is_among(cells: tf.Tensor, words: Sequence[str]) -> tf.Tensor:
    return tf.reduce_any(cells[:, None] == tf.constant(list(words))[None], axis=1)
