"""Fills TensorBoard's HParams tab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api


class HparamsSummary(keras.callbacks.Callback):
    """Writes the hyperparameters and which metrics the tab shows beside them, when training starts.

    They go into the run of the validation, whose last metrics are those that the tab shows.

    Arguments:
        folder: of the validation's event file.
        hparams: name → bool, int, float, str, None, or a list of these.
        metrics: the names of the validation metrics.
        experiment_name: names the row.
    """

    def __init__(self, *, folder: Path, hparams: Mapping[str, Any], metrics: list[str], experiment_name: str) -> None:
        super().__init__()
        self._folder = folder
        self._hparams = {name: str(value) if value is None or isinstance(value, (list, tuple)) else value
                         for name, value in hparams.items()}
        self._metrics = metrics
        self._experiment_name = experiment_name

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not self._hparams:
            return
        with tf.summary.create_file_writer(str(self._folder)).as_default(step=0):
            api.hparams_config(hparams=[api.HParam(name) for name in self._hparams],
                               metrics=[api.Metric(name) for name in self._metrics])
            api.hparams(self._hparams, trial_id=self._experiment_name)
