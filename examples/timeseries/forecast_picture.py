"""Draws forecasts against the truth, and their errors by the steps ahead."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from plain_forecasts import rmse

_TRUTH_COLOUR, _MODEL_COLOUR = "0.35", "tab:red"
_OTHER_COLOURS = ("0.75", "tab:olive", "tab:cyan", "tab:blue")


def draw_forecasts(file: str, *, forecasts: Mapping[str, np.ndarray], past: np.ndarray, truth: np.ndarray, dates: np.ndarray,
                   unit: str) -> None:
    """Draws non-overlapping forecasts over all of the time, the last one with its past, and the errors of all methods.

    Arguments:
        file: the picture to write.
        forecasts: method → `[n, num_ahead]`, from successive starts, one step apart; the first method is the one to show.
        past: `[n, num_past]`.
        truth: `[n, num_ahead]`.
        dates: `[n, num_past + num_ahead]`, datetime64.
        unit: what the values are.
    """
    matplotlib.use("Agg")  # into a file; a server may have no screen
    import matplotlib.pyplot as plt
    name, forecast = next(iter(forecasts.items()))
    num_past, num_ahead = past.shape[1], truth.shape[1]
    figure, axes = plt.subplot_mosaic([["all", "all"], ["one", "errors"]], figsize=(11, 7), layout="constrained")

    axis = axes["all"]
    axis.plot(np.append(dates[:, 0], dates[-1, 1:]), np.concatenate([past[:, 0], past[-1, 1:], truth[-1]]),
              color=_TRUTH_COLOUR, linewidth=1.2, label="truth")
    for start in range(0, len(truth), 2 * num_ahead):  # a gap between two, so that each start is seen
        axis.plot(dates[start, num_past:], forecast[start], color=_MODEL_COLOUR, linewidth=2,
                  label=f"{name}, a year from each point" if start == 0 else None)
        axis.plot(dates[start, num_past - 1], past[start, -1], "o", color=_MODEL_COLOUR, markersize=5)
    axis.set(ylabel=unit, title="Forecasts of years that training has not seen")
    axis.legend(loc="upper left")

    axis = axes["one"]
    axis.plot(dates[-1], np.concatenate([past[-1], truth[-1]]), color=_TRUTH_COLOUR, label="truth")
    axis.plot(dates[-1, num_past:], forecast[-1], color=_MODEL_COLOUR, linewidth=2, label=name)
    axis.axvline(dates[-1, num_past - 1], color="0.6", linewidth=1, linestyle=":")
    axis.set(ylabel=unit, title="The last forecast, with all that it was made from")
    axis.tick_params(axis="x", rotation=30)
    axis.legend(loc="upper left")

    axis = axes["errors"]
    for (method, values), colour in zip(forecasts.items(), (_MODEL_COLOUR, *_OTHER_COLOURS)):
        axis.plot(np.arange(1, num_ahead + 1), rmse(values, truth, axis=0), color=colour,
                  linewidth=3 if method == name else 1.5, label=f"{method}: {rmse(values, truth):.2f}")
    axis.set(xlabel="steps ahead", ylabel="root mean squared error", title="Error by the steps ahead (number: over all)")
    axis.set_ylim(0, 1.5 * axis.get_ylim()[1])  # room for the legend
    axis.legend(fontsize=8, ncols=2)
    figure.savefig(file, dpi=100)
    plt.close(figure)
