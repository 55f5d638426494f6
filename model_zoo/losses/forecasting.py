"""Errors of forecasts that do not depend on the unit of the series: sMAPE and MASE.

Source: Makridakis, "Accuracy measures: theoretical and practical concerns", International Journal of Forecasting 9, 1993, for
sMAPE; Hyndman and Koehler, "Another look at measures of forecast accuracy", the same journal 22, 2006, for MASE.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def symmetric_mean_absolute_percentage_error(labels: Any, forecast: Any) -> Any:
    """SMAPE of each series: 200/H Σ |y − ŷ| / (|y| + |ŷ|), the form of the M3 and M4 competitions.

    Arguments:
        labels: float `[…, horizon]`.
        forecast: of the same shape.

    Returns:
        Float `[…]` in percent, 0 … 200. A step where truth and forecast are both 0 counts as 0.

    Raises:
        ValueError: the shapes differ where both are known.
    """
    labels, forecast = _as_pair(labels, forecast)
    scale = ops.abs(labels) + ops.abs(forecast)
    is_zero = ops.equal(scale, 0)
    # The inner `where` keeps the gradient finite: that of the branch that is not taken would be NaN times 0.
    ratio = ops.abs(labels - forecast) / ops.where(is_zero, ops.ones_like(scale), scale)
    return 200 * ops.mean(ratio, axis=-1)


def mean_absolute_scaled_error(labels: Any, forecast: Any, *, history: Any, period: int = 1) -> Any:
    """MASE of each series: its mean absolute error over that of the seasonal naive forecast within the history.

    Arguments:
        labels: float `[…, horizon]`.
        forecast: of the same shape.
        history: float `[…, backcast]`, what was known when the forecast was made, in the same unit; longer than `period`.
        period: steps of a season; 1: the naive forecast is the last value.

    Returns:
        Float `[…]`; below 1 is better than the naive forecast was within the history. The scale is taken as at least 1e-7, so
        that a constant history gives a large but finite value.

    Raises:
        ValueError: the shapes differ where both are known, `period` is no int above 0, or the history is no longer than it.
    """
    labels, forecast = _as_pair(labels, forecast)
    history = ops.cast(history, forecast.dtype)
    if isinstance(period, bool) or not isinstance(period, int) or period < 1:
        raise ValueError(f"period must be an int above 0. Got {period!r}. Use 1 for series without season.")
    if history.shape[-1] is not None and history.shape[-1] <= period:
        raise ValueError(f"history must be longer than period = {period}. Got {history.shape[-1]} steps. "
                         "Pass a longer history or a shorter period.")
    naive_error = ops.mean(ops.abs(history[..., period:] - history[..., :-period]), axis=-1)
    error = ops.mean(ops.abs(labels - forecast), axis=-1)
    return error / ops.maximum(naive_error, 1e-7)


def _as_pair(labels: Any, forecast: Any) -> tuple[Any, Any]:
    forecast = ops.convert_to_tensor(forecast)
    labels = ops.cast(labels, forecast.dtype)
    if len(labels.shape) != len(forecast.shape) or any(
            None not in sizes and sizes[0] != sizes[1] for sizes in zip(labels.shape, forecast.shape)):
        raise ValueError(f"labels and forecast must have the same shape. Got {tuple(labels.shape)} and "
                         f"{tuple(forecast.shape)}. Reshape labels, e.g. by labels[..., 0].")
    return labels, forecast
