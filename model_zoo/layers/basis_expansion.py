"""Sums of fixed functions of time, weighted by the coefficients that a network predicts.

Source: the interpretable bases of Oreshkin, Carpov, Chapados, Bengio, "N-BEATS: neural basis expansion analysis for
interpretable time series forecasting", ICLR 2020, section 3.3.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class BasisExpansion(keras.layers.Layer):
    """Coefficients `[batch, num_functions]` to a series `[batch, num_steps]`, without weights.

    Arguments:
        basis: `[num_functions, num_steps]`, e.g. of `polynomials` or `harmonics`.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, basis: np.ndarray, **options: Any) -> None:
        super().__init__(**options)
        self._basis = np.asarray(basis, np.float32)

    def call(self, coefficients: Any) -> Any:
        """The weighted sum of the functions."""
        return ops.matmul(coefficients, ops.cast(self._basis, self.compute_dtype))


def polynomials(num_steps: int, *, degree: int) -> np.ndarray:
    """t⁰ … t^degree at t = 0, 1/num_steps, …, (num_steps − 1)/num_steps: float64 `[degree + 1, num_steps]`."""
    return np.power.outer(np.arange(num_steps) / num_steps, np.arange(degree + 1)).T


def harmonics(steps: np.ndarray, *, horizon: int) -> np.ndarray:
    """1, cos 2πit and sin 2πit for i = 1 … ⌊horizon/2 − 1⌋ at t = steps/horizon.

    Arguments:
        steps: `[num_steps]`; 0 … horizon − 1 for the forecast, negative for the past.
        horizon: the period of the slowest harmonic, in steps.

    Returns:
        Float64 `[2 ⌊horizon/2 − 1⌋ + 1, num_steps]`; the constant alone for a horizon below 4.
    """
    angles = 2 * np.pi * np.outer(np.arange(1, max(horizon // 2, 1)), np.asarray(steps) / horizon)
    return np.concatenate([np.ones([1, len(steps)]), np.cos(angles), np.sin(angles)])
