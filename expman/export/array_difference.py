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
    if np.array_equal(expected, actual):  # of large answers much faster than what follows
        return None
    is_equal = _equal_cells(_computable(expected), _computable(actual), relative_tolerance=relative_tolerance)
    if is_equal.all():
        return None
    distances = np.where(is_equal, -1.0, _distances(_computable(expected), _computable(actual)))
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


def _computable(array: np.ndarray) -> np.ndarray:
    """Half precision as float32; NumPy itself does not know bfloat16."""
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype == np.float16 else array


def _equal_cells(expected: np.ndarray, actual: np.ndarray, *, relative_tolerance: float) -> np.ndarray:
    if expected.dtype.kind not in "fc":
        return np.asarray(expected == actual, bool)
    scale = float(np.abs(expected).max(initial=0.0, where=np.isfinite(expected)))
    return np.isclose(actual, expected, rtol=relative_tolerance, atol=relative_tolerance * scale, equal_nan=True)


def _distances(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The distance of each cell; infinity where NaN or infinity is on one side, 0 for what cannot be subtracted."""
    if expected.dtype.kind not in "fciu":
        return np.zeros(expected.shape)
    exact = np.complex128 if expected.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity
        distances = np.abs(actual.astype(exact) - expected.astype(exact))
    return np.where(np.isfinite(distances), distances, np.inf)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
