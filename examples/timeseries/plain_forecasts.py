"""Forecasts without a network, which one has to beat."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

_RIDGE_PENALTY = 100.0  # the best of 0.01, 0.1 … 1000 on the validation years of datasamples/co2_weekly


def plain_forecasts(past: np.ndarray, *, training_windows: np.ndarray, period: int) -> dict[str, np.ndarray]:
    """Forecasts by rules and by linear autoregression.

    Arguments:
        past: `[n, num_past]`, the values known, oldest first; more than one period.
        training_windows: `[m, num_past + num_ahead]`, past and future, for the autoregression.
        period: steps of a season.

    Returns:
        Name of the method → forecasts `[n, num_ahead]`.
    """
    num_past = past.shape[1]
    num_ahead = training_windows.shape[1] - num_past
    last = past[:, -1:]
    season_before = past[:, num_past - period + np.arange(num_ahead) % period]
    growth = last - past[:, -1 - period, None]
    relative = training_windows - training_windows[:, num_past - 1:num_past]
    ridge = Ridge(alpha=_RIDGE_PENALTY).fit(relative[:, :num_past], relative[:, num_past:])
    return {"last value": np.repeat(last, num_ahead, axis=1),
            "a year before": season_before,
            "a year before, plus growth": season_before + growth,
            "linear autoregression": last + ridge.predict(past - last)}


def rmse(forecasts: np.ndarray, truth: np.ndarray, *, axis: int | None = None) -> np.ndarray:
    """Root of the mean squared error, of all or along an axis."""
    return np.sqrt(np.mean(np.square(forecasts.astype(np.float64) - truth), axis=axis))
