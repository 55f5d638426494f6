"""Trains, evaluates, exports and asks one experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expman.records.experiment_folder import ExperimentFolder
from expman.training.built_experiment import BuiltExperiment
from expman.training.distribution.worker_run import WorkerRun
from expman.training.progress import TrainingProgress
from expman.training.training_run import NO_OVERRIDES, RunOverrides, TrainingRun


class Estimator(BuiltExperiment):
    """An experiment in memory that can be trained, evaluated, exported and asked; see `BuiltExperiment`."""

    def train(self, folder: ExperimentFolder, *, restart: bool = False, extend: bool = False,
              overrides: RunOverrides = NO_OVERRIDES) -> TrainingProgress:
        """Trains to the last epoch or until it no longer improves; evaluates, exports and saves as it goes.

        Arguments:
            folder: an existing folder that gets all files.
            restart: go on from the newest checkpoint of the folder; on the CPU the end is the same, to the bit, as without
                the interruption, if the user's code draws its random numbers from seeds.
            extend: with `restart`, go on even after early stopping.
            overrides: what the caller wants beside the settings.

        Returns:
            The counters at the end.

        Raises:
            TrainingStoppedError: a signal asked to stop.
            TrainingError, UserCodeError, ExportError: training failed; `state.json` says why.
        """
        self.prepare()
        run = TrainingRun if self.workers.is_chief else WorkerRun
        return run(experiment=self, folder=folder, overrides=overrides).run(restart=restart, extend=extend)

    def predict(self, inputs: Mapping[str, Any] | Any) -> dict[str, np.ndarray]:
        """Returns what the served model answers.

        Arguments:
            inputs: a batch of raw features: name → array, or one array.
        """
        named = inputs if isinstance(inputs, Mapping) else {self.settings.input_data_name: inputs}
        return self.served.answers(named)
