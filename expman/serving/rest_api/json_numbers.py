"""Writes floating-point numbers as TensorFlow Serving does, many at once."""

from __future__ import annotations

import math

import numpy as np

_CHUNK = 4096  # Numbers written at a time: the interpreter can serve other threads between two chunks.
_SMALLEST_VECTOR = 64  # Fewer numbers are written faster one by one.

# Powers of ten up to this one are exact in a double, and a product or quotient with one is rounded correctly.
_LARGEST_EXACT_POWER = 22
_LARGEST_POWER = 300  # Greater ones leave the range of a double.
_NEAR = 2.0**-22  # Relative; more than the distance of a decimal from the float32 that it is read as …
_TINY = float(np.finfo(np.float32).tiny)  # … unless that is smaller than this.


def number_texts(values: np.ndarray) -> list[str]:
    """The text of each number.

    TensorFlow Serving writes six significant digits when they read back as the same number, else all that may be needed
    (nine for float32, seventeen for float64); whole numbers without an exponent end in `.0`; NaN, Infinity and -Infinity
    stand bare. So a float32 comes without the digits that a conversion to float64 would add.

    Arguments:
        values: any shape; float32 or float64.
    """
    flat = values.ravel()
    digits = 9 if flat.dtype == np.float32 else 17
    if flat.size < _SMALLEST_VECTOR:
        return [_number_text(value, flat.dtype.type, digits) for value in flat.tolist()]
    texts: list[str] = []
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start:start + _CHUNK]
        texts += ("\n".join(_formats(chunk, digits).tolist()) % tuple(chunk.tolist())).split("\n")
    return texts


def _number_text(value: float, kind: type[np.floating], digits: int) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    distance = abs(float(text) - value)
    # Reading the text in the number's own precision takes longer than all the rest; it is seldom close enough to need it.
    if distance and ((abs(value) >= _TINY and distance > abs(value) * _NEAR) or kind(text) != value):
        text = f"{value:.{digits}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _formats(values: np.ndarray, digits: int) -> np.ndarray:
    """For each number what Python's `%` needs to write it as `_number_text` does."""
    is_finite = np.isfinite(values)
    magnitudes = np.abs(np.where(is_finite, values, 0))
    is_short = _six_digits_suffice(magnitudes)
    is_whole = magnitudes == np.rint(magnitudes)
    return np.select(
        [np.isnan(values), values == np.inf, values == -np.inf,
         is_short & is_whole & (magnitudes < 1e6), is_short,
         is_whole & (magnitudes < 10.0**digits)],
        ["NaN%.0s", "Infinity%.0s", "-Infinity%.0s", "%.6g.0", "%.6g", f"%.{digits}g.0"], f"%.{digits}g")


def _six_digits_suffice(magnitudes: np.ndarray) -> np.ndarray:
    """Tells whether a number that is rounded to six significant digits is, in its own precision, the same number."""
    doubles = magnitudes.astype(np.float64)
    with np.errstate(divide="ignore"):
        powers = 5 - np.floor(np.log10(doubles))
    powers[doubles == 0] = 0
    scales = 10.0 ** np.minimum(np.abs(powers), _LARGEST_POWER)
    with np.errstate(over="ignore"):
        rounded = np.where(powers >= 0, np.rint(doubles * scales) / scales, np.rint(doubles / scales) * scales)
    suffices = rounded.astype(magnitudes.dtype) == magnitudes
    is_near = np.abs(rounded - doubles) <= doubles * _NEAR
    is_coarse = (np.abs(powers) > _LARGEST_POWER) | (doubles < np.finfo(magnitudes.dtype).tiny)
    for index in np.flatnonzero((np.abs(powers) > _LARGEST_EXACT_POWER) & (is_near | is_coarse)):
        suffices[index] = magnitudes.dtype.type(f"{doubles[index]:.6g}") == magnitudes[index]
    return suffices
