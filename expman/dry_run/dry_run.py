"""The experiment that the checks of a dry run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from expman.dry_run.resize_record import ResizeRecord

if TYPE_CHECKING:
    from expman.records.experiment_folder import ExperimentFolder
    from expman.settings.loading import Settings
    from expman.training.data.input_data import InputData
    from expman.training.estimator import Estimator

_STEPS_OF_UNKNOWN_EPOCH = 500


@dataclass
class DryRun:
    """One dry run; the attributes without a value are set by the check that makes them, and read by later ones.

    Attributes:
        settings_file, hparams: what the command was given.
        temporary_folder: gets all that is written.
        settings: the experiment as the user wrote it.
        patched_settings: the experiment as the checks run it.
        folder: its folder, below `temporary_folder`.
        train_data, validation_data, validation_sets: the user's datasets.
        estimator: the patched experiment in memory.
        steps_per_execution: what a training would choose.
        resizes: by what the pipeline and Client_IO resize images.
        export_seconds: how long an export takes; None while it has not succeeded.
    """

    settings_file: Path
    hparams: Mapping[str, Any]
    temporary_folder: Path
    settings: Settings = field(init=False)
    patched_settings: Settings = field(init=False)
    folder: ExperimentFolder = field(init=False)
    train_data: InputData = field(init=False)
    validation_data: InputData = field(init=False)
    validation_sets: dict[str, InputData] = field(init=False)
    estimator: Estimator = field(init=False)
    steps_per_execution: int = field(init=False)
    resizes: ResizeRecord = field(default_factory=ResizeRecord)
    export_seconds: float | None = None

    def repeated_batches(self, raw_data_files_folder: str, shuffle_batches: bool) -> tf.data.Dataset:
        """Stands for `get_input_pipeline_train_val`: the first batch of the training data again and again for an epoch, or
        that of the validation data of a folder once.
        """
        if shuffle_batches:
            return _repeated(self.train_data, num_batches=self.train_data.steps_per_epoch or _STEPS_OF_UNKNOWN_EPOCH)
        of_folder = {self.settings.validation_sets[name]: data for name, data in self.validation_sets.items()}
        return _repeated(of_folder.get(raw_data_files_folder, self.validation_data), num_batches=1)


def _repeated(data: InputData, *, num_batches: int) -> tf.data.Dataset:
    batches = tf.data.Dataset.from_tensors(data.first_batch).repeat(num_batches)
    # The empty rest brings the pipeline's own element spec, whose batch dimension may be unknown.
    return batches.concatenate(data.dataset.take(0)).apply(tf.data.experimental.assert_cardinality(num_batches))
