"""Trainings that export once, at their end: the best weights, whatever happened before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman import experiment_run
from expman.errors import TrainingError
from expman.records.experiment_folder import ExperimentFolder, exported_versions
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics

# The steps of the first two epochs improve the model, those of the other three, which go uphill, spoil it.
GETS_WORSE = (("nbEpoch = 2", "nbEpoch = 5"), ("average_decay = 0.9", "average_decay = 0.5"), (
    "return keras.optimizers.Adam(learning_rate)",
    "return keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([12], [0.05, -0.05]))"))


def train(file, *, pruner=lambda: None):
    return experiment_run.train(file, trial=experiment_run.TrialOverrides(exports_once=True, pruner=pruner))


def only_folder(parent: Path) -> ExperimentFolder:
    state_file, = (parent / "experiments").glob("*/state.json")
    return ExperimentFolder(state_file.parent)


def versions(folder: ExperimentFolder) -> list[int]:
    return exported_versions(folder.model_export_folder("line"))


def exported_error(folder: ExperimentFolder) -> float:
    """The mean absolute error of the newest version on the validation data."""
    x = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32)
    version = folder.model_export_folder("line") / str(versions(folder)[-1])
    prediction = tf.saved_model.load(str(version)).signatures["prediction"](x=tf.constant(x))["prediction"].numpy()
    return float(np.abs(prediction - (2 * x.sum(axis=1, keepdims=True) + 1)).mean())


def assert_best_is_exported(folder: ExperimentFolder, *, num_versions: int = 1) -> None:
    state = folder.read_state()
    assert versions(folder) == list(range(1, num_versions + 1))
    assert state["last_exported_model"] == f"export/line/{num_versions}"
    assert exported_error(folder) == pytest.approx(state["best_metrics"]["mae"], rel=1e-5)


def interrupted_at_export(monkeypatch, file, **terms) -> None:
    """Trains, and is interrupted when all is done but the export."""
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Estimator, "export", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(file, **terms)


def test_the_best_weights_are_exported_once_although_the_last_are_worse(tmp_path):
    result = train(write_experiment(tmp_path, *GETS_WORSE))
    folder = ExperimentFolder(result["sessionFolder"])
    state = folder.read_state()
    assert state["epoch"] == 5 and state["best_epoch"] == 2
    assert_best_is_exported(folder)
    assert result["last_exported_model"] == str(folder.path / "export" / "line" / "1")


def test_what_was_interrupted_before_its_export_makes_it_up_without_training_again(tmp_path, monkeypatch):
    interrupted_at_export(monkeypatch, write_experiment(tmp_path, *GETS_WORSE))
    folder = only_folder(tmp_path)
    assert versions(folder) == []
    before = read_metrics(folder.path)
    experiment_run.restart(folder.path, trial=experiment_run.TrialOverrides(exports_once=True))
    assert read_metrics(folder.path) == before
    assert folder.read_state()["status"] == "finished"
    assert_best_is_exported(folder)


def test_an_ordinary_restart_makes_the_export_up_too(tmp_path, monkeypatch):
    interrupted_at_export(monkeypatch, write_experiment(tmp_path, *GETS_WORSE))
    folder = only_folder(tmp_path)
    experiment_run.restart(folder.path)
    assert_best_is_exported(folder)


def test_a_best_that_has_been_exported_is_not_exported_again(tmp_path):
    folder = ExperimentFolder(train(write_experiment(tmp_path, *GETS_WORSE))["sessionFolder"])
    experiment_run.restart(folder.path, num_epochs=6, trial=experiment_run.TrialOverrides(exports_once=True))
    assert folder.read_state()["epoch"] == 6
    assert_best_is_exported(folder)


def test_a_pruned_training_that_was_interrupted_at_its_export_stays_pruned(tmp_path, monkeypatch):
    interrupted_at_export(monkeypatch, write_experiment(tmp_path), pruner=lambda: "others are better")
    folder = only_folder(tmp_path)
    experiment_run.restart(folder.path, trial=experiment_run.TrialOverrides(exports_once=True, pruner=lambda: None))
    state = folder.read_state()
    assert (state["status"], state["stop_reason"], state["epoch"]) == ("pruned", "others are better", 1)
    assert_best_is_exported(folder)


def test_a_training_recorded_as_pruned_can_go_on_all_the_same(tmp_path):
    folder = ExperimentFolder(train(write_experiment(tmp_path), pruner=lambda: "others are better")["sessionFolder"])
    assert folder.read_state()["status"] == "pruned"
    assert_best_is_exported(folder)
    experiment_run.restart(folder.path, trial=experiment_run.TrialOverrides(exports_once=True))
    assert (folder.read_state()["status"], folder.read_state()["epoch"]) == ("finished", 2)
    assert_best_is_exported(folder, num_versions=2)


def test_without_the_best_checkpoint_there_is_nothing_good_to_export(tmp_path, monkeypatch):
    interrupted_at_export(monkeypatch, write_experiment(tmp_path, *GETS_WORSE))
    folder = only_folder(tmp_path)
    best = folder.checkpoints / f"step-{folder.read_state()['best_step']:09d}"
    next(best.glob("variables.data*")).write_bytes(b"")
    with pytest.raises(TrainingError, match="The best weights, those of step 12, cannot be exported: their checkpoint in"):
        experiment_run.restart(folder.path, trial=experiment_run.TrialOverrides(exports_once=True))
    assert versions(folder) == []


def test_export_policy_latest_still_exports_after_each_evaluation(tmp_path):
    result = train(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 2\nexport_policy = 'latest'")))
    folder = ExperimentFolder(result["sessionFolder"])
    assert versions(folder) == [1, 2]
    assert json.loads(folder.state_file.read_text())["exported_step"] == 12
