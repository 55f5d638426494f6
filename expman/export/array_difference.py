"""Compares two arrays of answers and describes where they differ."""

from __future__ import annotations

import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy, which then converts it
import numpy as np

_LONGEST_VALUE = 60


def described_difference(expected: np.ndarray, actual: np.ndarray, *, relative_tolerance: float) -> str | None:
    """Describes how an array differs from the expected one; None when both are equal.

    Numbers that are not whole are equal up to rounding; NaN equals NaN, and an infinity the same infinity.

    Arguments:
        expected, actual: of any shape and dtype; texts as `bytes` in arrays of dtype object.
        relative_tolerance: how far two values may be apart, relative to the largest finite value of `expected`.

    Returns:
        What follows a name: 'is 8.0 instead of 6.0 at index (1, 0)'. The index is that of the greatest difference; one of NaN
        or infinity on one side only is greater than any other.
    """
    if difference := described_form_difference(expected, actual):
        return difference
    distances = _distances(_comparable(expected), _comparable(actual), relative_tolerance=relative_tolerance)
    if not distances.any():
        return None
    worst = np.unravel_index(np.argmax(distances), distances.shape)
    return f"is {_shown(actual[worst])} instead of {_shown(expected[worst])} at index {tuple(map(int, worst))}"


def described_form_difference(expected: np.ndarray, actual: np.ndarray) -> str | None:
    """Describes other shapes or dtypes, whatever the values; None when both are equal."""
    if (expected.shape, expected.dtype) == (actual.shape, actual.dtype):
        return None
    return f"has shape {actual.shape} and dtype {actual.dtype} instead of {expected.shape} and {expected.dtype}"


def are_equal(expected: np.ndarray, actual: np.ndarray, *, relative_tolerance: float) -> bool:
    """Tells whether `described_difference` finds none."""
    return described_difference(expected, actual, relative_tolerance=relative_tolerance) is None


def _comparable(array: np.ndarray) -> np.ndarray:
    """Floats in double precision, those among them that NumPy itself does not know, such as bfloat16."""
    if array.dtype.kind in "fV":
        return array.astype(np.float64)
    return array.astype(np.complex128) if array.dtype.kind == "c" else array


def _distances(expected: np.ndarray, actual: np.ndarray, *, relative_tolerance: float) -> np.ndarray:
    """The distance of each cell; 0 for equal cells, infinity for those that cannot be subtracted."""
    if expected.dtype.kind not in "fc":
        return np.where(np.asarray(expected != actual, bool), _whole_distances(expected, actual), 0.0)
    scale = float(np.abs(expected).max(initial=0.0, where=np.isfinite(expected)))
    is_equal = np.isclose(actual, expected, rtol=relative_tolerance, atol=relative_tolerance * scale, equal_nan=True)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity
        distances = np.abs(actual - expected)
    return np.where(is_equal, 0.0, np.where(np.isfinite(distances), distances, np.inf))


def _whole_distances(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Of whole numbers at least 1, so that rounding hides no difference; of texts and truth values always 1."""
    if expected.dtype.kind not in "iu":
        return np.ones(expected.shape)
    return np.maximum(np.abs(actual.astype(np.float64) - expected.astype(np.float64)), 1.0)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
