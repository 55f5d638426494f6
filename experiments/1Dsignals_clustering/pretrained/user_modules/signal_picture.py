"""Draws signals with their reconstructions beside a map of their codes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from sklearn.decomposition import PCA

_NUM_SIGNALS = 3
_CHANNELS_PER_PANEL = 3


def draw_signals_and_codes(file: str, *, signals: np.ndarray, reconstructions: np.ndarray, codes: np.ndarray,
                           classes: np.ndarray, channels: Sequence[str], rows_per_second: float) -> None:
    """Draws a signal of some classes, three channels a panel, and all codes in the plane of their first principal components.

    Arguments:
        file: the picture to write.
        signals, reconstructions: `[n, time, channels]`.
        codes: `[n, code_size]`.
        classes: `[n]`, the names of the classes.
        channels: their names.
        rows_per_second: of the signals.
    """
    matplotlib.use("Agg")  # into a file; a server may have no screen
    import matplotlib.pyplot as plt
    figure = plt.figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    drawn = _typical(signals, reconstructions, classes)
    num_panels = -(-len(channels) // _CHANNELS_PER_PANEL)
    axes = left.subplots(num_panels, len(drawn), sharex=True, sharey="row", squeeze=False)
    seconds = np.arange(signals.shape[1]) / rows_per_second
    for column, index in enumerate(drawn):
        axes[0, column].set_title(classes[index])
        axes[-1, column].set_xlabel("seconds")
        for channel, name in enumerate(channels):
            axis = axes[channel // _CHANNELS_PER_PANEL, column]
            line, = axis.plot(seconds, signals[index, :, channel], linewidth=1, label=name)
            axis.plot(seconds, reconstructions[index, :, channel], color=line.get_color(), linewidth=2.5, alpha=0.5)
    for axis in axes[:, -1]:
        axis.legend(loc="upper right", fontsize=8)
    left.suptitle(f"Signals (thin), and what comes back from {codes.shape[1]} numbers (broad)")
    _draw_map(right, codes, classes)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def _draw_map(figure: matplotlib.figure.SubFigure, codes: np.ndarray, classes: np.ndarray) -> None:
    axis = figure.subplots()
    places = PCA(2, random_state=0).fit_transform(codes)
    for number, name in enumerate(np.unique(classes)):
        axis.scatter(*places[classes == name].T, s=14, color=f"C{number}", alpha=0.8, linewidths=0, label=name)
    axis.set(xticks=[], yticks=[])
    axis.legend(markerscale=1.5)
    figure.suptitle("The codes, seen in a plane")


def _typical(signals: np.ndarray, reconstructions: np.ndarray, classes: np.ndarray) -> list[int]:
    """For some classes, evenly chosen, the signal whose reconstruction is the median of its class."""
    errors = np.mean(np.square(signals - reconstructions), axis=(1, 2))
    names = np.unique(classes)
    chosen = names[np.linspace(0, len(names) - 1, min(_NUM_SIGNALS, len(names))).astype(int)]
    members = [np.flatnonzero(classes == name) for name in chosen]
    return [int(rows[np.argsort(errors[rows])[len(rows) // 2]]) for rows in members]
