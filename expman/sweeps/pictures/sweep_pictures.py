"""Draws the pictures that a sweep leaves, and names what they and the table of trials are made from."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

from expman.records.experiment_folder import write_atomically
from expman.sweeps.pictures.trial_row import TrialRow, write_trials_csv

__all__ = ["TrialRow", "draw_sweep", "write_trials_csv"]

_LOGGER = logging.getLogger(__name__)
_DOTS_PER_INCH = 120


def draw_sweep(trials: Sequence[TrialRow], folder: Path, *, metric: str, mode: str) -> list[Path]:
    """Draws what the trials so far allow: history, each hparam, parallel coordinates, scatter matrix and importance.

    Arguments:
        trials: of the sweep, in any order and state.
        folder: made if need be; gets the PNG files.
        metric: of the trials' values.
        mode: 'min' or 'max'.

    Returns:
        The files, in the order in which a reader wants them; none before a trial has a value, and only the history while no
        hparam varies.
    """
    from expman.sweeps.pictures import (
        sweep_figures as figures,  # matplotlib takes its time to import, and a sweep draws at its end
    )
    data = figures.SweepData(trials, metric=metric, mode=mode)
    drawings = {"history": figures.history_figure} if data.measured else {}
    if data.measured and data.varied:
        drawings |= {"hparams": figures.hparams_figure, "parallel_coordinates": figures.parallel_coordinates_figure,
                     "scatter_matrix": figures.scatter_matrix_figure, "importance": figures.importance_figure}
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in drawings.items():
        stream = io.BytesIO()
        draw(data).savefig(stream, format="png", dpi=_DOTS_PER_INCH)
        files.append(folder / f"{name}.png")
        write_atomically(files[-1], stream.getvalue())
    if not drawings:
        _LOGGER.info("No trial has a value of %s yet, so there is nothing to draw.", metric)
    return files
