"""The standard deviation that numbers are normalised by, in which the noise of floating point counts as none."""

from __future__ import annotations

import numpy as np

_NOISE = 1e-13  # of the largest number: what sums of equal float64 numbers are wrong by, and no more
_LEAST_DEVIATION = float(np.finfo(np.float32).tiny)  # TensorFlow takes smaller numbers for 0


def deviation_of(numbers: np.ndarray) -> float:
    """Returns the population's standard deviation of numbers that are not NaN; 0.0 where they do not differ in truth."""
    deviation = float(np.nanstd(numbers))
    largest = float(np.nanmax(np.abs(numbers)))
    return 0.0 if deviation < max(_NOISE * largest, _LEAST_DEVIATION) else deviation
