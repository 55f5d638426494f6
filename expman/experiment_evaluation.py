"""Measures the best weights of an experiment on its validation data or on other data; trains and exports nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.errors import ExperimentError, ExperimentFolderError, TrainingError, UsageError
from expman.experiment_run import load_experiment
from expman.records.experiment_folder import ExperimentFolder, write_json
from expman.reports.terminal_table import TableColumn, print_table
from expman.settings.loading import Settings

_LOGGER = logging.getLogger(__name__)
_PIPELINE = "get_input_pipeline_train_val"


def evaluate(model_dir: str | os.PathLike[str], *, data: str | None = None) -> dict[str, Any]:
    """Measures the best weights, prints loss and metrics beside the recorded ones and writes them into the experiment's folder.

    The experiment may be trained at the same time: nothing else in its folder changes.

    Arguments:
        model_dir: the experiment's folder.
        data: replaces `raw_data_dir_val`.

    Returns:
        What is written: 'metrics' and 'recorded_best', each name → value; 'data_folder', 'is_validation_data', 'num_samples',
        'epoch', 'step', 'weights' ('averages' or 'weights'), 'evaluated' (when).

    Raises:
        ExperimentError: there is no checkpoint that can be read, or the data are absent, empty or of another form.
        UsageError: there are no such data, or the input pipeline does not use the folder that it is given.
    """
    folder = ExperimentFolder.open(model_dir)
    if data is not None and not (data and Path(data).exists()):
        raise UsageError(f"--data '{data}' does not exist. Give the folder or the file of the data.")
    if not folder.has_checkpoint():
        raise ExperimentFolderError(
            f"{folder.path} has no checkpoint yet. Training writes one after its first epoch: wait for it, or go on with a "
            f"training that ended early by `--restart_interrupted --model_dir {folder.path}`.")
    with _no_bytecode_written():
        settings = load_experiment(folder)
        measured = _measured(folder, _with_data(settings, data))
    record = {"evaluated": datetime.now().astimezone().isoformat(timespec="seconds"),
              "data_folder": settings.raw_data_dir_val if data is None else data, "is_validation_data": data is None,
              **measured}
    _print(record, folder=folder)
    try:
        write_json(folder.evaluation_file(data), record)
    except OSError as error:
        raise ExperimentFolderError(f"{folder.path} cannot be written ({error.strerror}): the numbers above are not kept. Make "
                                    "it writable.") from error
    print(f"written: {folder.evaluation_file(data)}")
    return record


def _with_data(settings: Settings, data: str | None) -> Settings:
    """The settings for one process, with other validation data if there are any.

    Raises:
        UsageError: the user's pipeline would read the same data as ever.
    """
    values = dict(settings.values)
    if values["distribution_strategy"] == "MultiWorkerMirroredStrategy":
        values["distribution_strategy"] = "auto"
    if data is not None:
        if not settings.declares(_PIPELINE, "raw_data_files_folder"):
            raise UsageError(f"--data has no effect: {settings.place_of(_PIPELINE)}: {_PIPELINE} does not declare "
                             "raw_data_files_folder. Declare it and read the data from there.")
        if settings.nb_val_samples:
            _LOGGER.info("nb_val_samples = %d: so many samples are taken from --data %s.", settings.nb_val_samples, data)
        _check_folder_is_used(settings)
        values["raw_data_dir_val"], values["validation_sets"] = data, {}
    return dataclasses.replace(settings, values=values)


def _check_folder_is_used(settings: Settings) -> None:
    """Checks that the user's pipeline finds nothing in an empty folder.

    Raises:
        UsageError: it yields data all the same, which are not those of the folder that it is given.
    """
    import tensorflow as tf

    from expman.training.data.input_data import InputData
    with tempfile.TemporaryDirectory() as empty:
        values = {**settings.values, "raw_data_dir_val": empty, "validation_sets": {}}
        _LOGGER.debug("%s is tried with an empty folder", _PIPELINE)
        try:
            InputData(dataclasses.replace(settings, values=values), for_training=False)
        except (ExperimentError, tf.errors.OpError):
            return
    raise UsageError(f"--data has no effect: {settings.place_of(_PIPELINE)}: {_PIPELINE} does not use the folder that it is "
                     "given: it yields data for an empty folder, too. Read the data from raw_data_files_folder.")


def _measured(folder: ExperimentFolder, settings: Settings) -> dict[str, Any]:
    """Builds the experiment as a restart does and evaluates the weights of its best checkpoint."""
    import keras

    from expman.training.checkpoints import CheckpointStore
    from expman.training.estimator import Estimator
    keras.utils.clear_session()
    try:
        estimator = Estimator(settings=settings)
    except TrainingError as error:
        recorded = folder.read_identity()["settings"]["raw_data_dir_val"]
        if settings.raw_data_dir_val == recorded:
            raise
        raise TrainingError(f"With --data {settings.raw_data_dir_val} as raw_data_dir_val: {error}") from error
    estimator.check_same_tables(folder.read_identity().get("lookup_tables", []))
    progress = CheckpointStore(folder.checkpoints, variables=estimator.model.training_state()).restore_best()
    metrics = estimator.measure_validation_data()
    num_samples = estimator.model.num_measured_samples()
    metrics |= estimator.measure_validation_sets()
    return {"num_samples": num_samples, "epoch": progress.best_epoch, "step": progress.best_step,
            "weights": "averages" if settings.predict_using_smoothed_parameters else "weights", "metrics": metrics,
            "recorded_best": dict(progress.best_metrics)}


def _print(record: Mapping[str, Any], *, folder: ExperimentFolder) -> None:
    metrics, recorded = record["metrics"], record["recorded_best"]
    names = list(dict.fromkeys([*metrics, *recorded]))
    described_as = "validation data" if record["is_validation_data"] else "data"
    print(f"{folder.path}, {record['weights']} of epoch {record['epoch']}, step {record['step']}, on the "
          f"{record['num_samples']:,} samples of the {described_as} '{record['data_folder']}':")
    print_table([TableColumn("", names),
                 TableColumn("measured", [_text(metrics.get(name)) for name in names], is_numeric=True),
                 TableColumn("recorded best, validation data", [_text(recorded.get(name)) for name in names],
                             is_numeric=True)], footer=[])
    others = [name for name in names if not _is_same(metrics.get(name), recorded.get(name))]
    if record["is_validation_data"] and others:
        _LOGGER.warning("%s came out otherwise than in the training: the data, the settings, the machine or the versions of the "
                        "packages are others, or the network or the data draw random numbers.", ", ".join(others))


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _is_same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


@contextlib.contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """Imports from the experiment's folder leave no `__pycache__` there."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
