"""Which patches are worth training on: by the mix of their classes, by missing values, by the user's own rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_pipelines.checks import at_least, one_of

_MOST_COUNTERS = 1 << 16  # counting is faster than sorting while the counters are few
NAN_CHOICES = (None, "zeros", "avoid")
PatchFilter = Callable[[np.ndarray, "np.ndarray | None"], bool]


class PatchFilterError(RuntimeError):
    """A user's filter raised; no fault of a data file, so it is never taken for one that may be skipped."""


def classes_entropy(labels: np.ndarray) -> float:
    """Shannon entropy of the shares of the classes, −Σ p·log₂ p, in bits: 0 for one class, log₂ n for n equally frequent ones.

    Arguments:
        labels: whole numbers, of any shape.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    counts = np.bincount(labels.ravel() - lowest) if highest - lowest < _MOST_COUNTERS else np.unique_counts(labels).counts
    shares = counts[counts > 0] / labels.size
    return float(-np.sum(shares * np.log2(shares))) + 0.0


@dataclass(frozen=True, kw_only=True)
class PatchFilters:
    """Says of a patch whether it is kept, and replaces missing values.

    Arguments:
        classes_entropy_threshold: keeps patches whose labels have an entropy above it, in bits (see `classes_entropy`); with
            several label channels, the first counts. None: all.
        manage_nan_values: what happens to NaN in raw data and labels: None: nothing; 'zeros': replaced by 0; 'avoid': the
            patch is dropped.
        additional_filters: functions of (raw, labels), as they are in the file and after the rules above; a patch is kept when
            all return True. `labels` is None when there are none.

    Raises:
        ValueError: an argument is out of its range.
    """

    classes_entropy_threshold: float | None = None
    manage_nan_values: str | None = None
    additional_filters: Sequence[PatchFilter] = ()

    def __post_init__(self) -> None:
        one_of("manage_nan_values", self.manage_nan_values, NAN_CHOICES)
        if self.classes_entropy_threshold is not None:
            at_least("classes_entropy_threshold", self.classes_entropy_threshold, 0)
        if callable(self.additional_filters) or not all(map(callable, self.additional_filters)):
            raise ValueError("additional_filters must be a list of functions of (raw, labels). "
                             f"Got {self.additional_filters!r}.")

    def apply(self, raw: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The patch with missing values replaced and labels as whole numbers, or None when it is dropped.

        Arguments:
            raw: `[*patch, bands]`.
            labels: `[*patch]` or `[*patch, channels]`, or None.

        Raises:
            ValueError: labels are not whole numbers of 32 bits.
            PatchFilterError: a function of `additional_filters` raised.
        """
        if self.manage_nan_values == "avoid" and (_has_nan(raw) or _has_nan(labels)):
            return None
        if self.manage_nan_values == "zeros":
            raw, labels = _nan_as_zero(raw), _nan_as_zero(labels)
        if labels is not None:
            labels = _whole_numbers(labels)
        return (raw, labels) if self._is_wanted(raw, labels) else None

    def _is_wanted(self, raw: np.ndarray, labels: np.ndarray | None) -> bool:
        if self.classes_entropy_threshold is not None:
            classes = labels if labels.ndim < raw.ndim else labels[..., 0]
            if classes_entropy(classes) <= self.classes_entropy_threshold:
                return False
        for index, is_wanted in enumerate(self.additional_filters):
            try:
                if not is_wanted(raw, labels):
                    return False
            except Exception as error:  # the user's code may raise anything
                raise PatchFilterError(f"additional_filters[{index}] raised {type(error).__name__}: {error}") from error
        return True


def _has_nan(array: np.ndarray | None) -> bool:
    return array is not None and array.dtype.kind == "f" and bool(np.isnan(array).any())


def _nan_as_zero(array: np.ndarray | None) -> np.ndarray | None:
    return np.where(np.isnan(array), array.dtype.type(0), array) if _has_nan(array) else array


def _whole_numbers(labels: np.ndarray) -> np.ndarray:
    if np.can_cast(labels.dtype, np.int32):
        return labels
    with np.errstate(invalid="ignore"):
        classes = labels.astype(np.int32)
    if not np.array_equal(classes, labels):
        is_wrong = classes != labels
        raise ValueError(f"its labels must be whole numbers of 32 bits. Got {labels[is_wrong].flat[0]!r}, and "
                         f"{np.count_nonzero(is_wrong)} such pixels in a patch. "
                         "For NaN set manage_nan_values to 'zeros' or 'avoid'.")
    return classes
