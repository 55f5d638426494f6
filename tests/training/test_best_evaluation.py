"""Which evaluation is best, when early stopping counts anew, and what is told of epochs that came long after the best."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from expman import experiment_run
from expman.settings.loading import load_settings
from expman.training.callbacks import console_progress
from expman.training.callbacks.evaluation import Evaluation
from expman.training.late_epochs import told_late_epochs
from expman.training.progress import TrainingProgress
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics

# Learns nothing: the first evaluation stays the best.
STUCK = (('initial_learning_rate = hparams["learningRate"]', "initial_learning_rate = 1e-30"),)


def best_epochs(evaluations: list[tuple[float, float]], *, mode: str) -> list[int]:
    """The best epoch after each of some evaluations (accuracy, loss)."""
    progress = TrainingProgress()
    values = iter(evaluations)

    def evaluate() -> dict[str, float]:
        accuracy, loss = next(values)
        return {"loss": loss, "accuracy": accuracy}

    callback = Evaluation(evaluate=evaluate, progress=progress, metric="accuracy", mode=mode, num_epochs=9,
                          least_seconds_between=0)
    found = []
    for epoch in range(len(evaluations)):
        callback.on_epoch_end(epoch, {})
        found.append(progress.best_epoch)
    return found


def test_of_equal_values_the_one_with_the_lower_loss_is_best():
    assert best_epochs([(0.9, 0.5), (0.9, 0.6), (0.9, 0.4), (0.9, 0.4), (0.8, 0.1), (1.0, 0.9)], mode="max") == [1, 1, 3, 3, 3, 6]
    assert best_epochs([(0.1, 0.5), (0.1, 0.4), (0.2, 0.1), (0.1, float("nan"))], mode="min") == [1, 2, 2, 2]


def test_an_explicit_number_of_epochs_begins_a_new_patience_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO")
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 9\nearly_stopping_patience = 2"), *STUCK)
    folder = Path(experiment_run.train(file)["sessionFolder"])
    assert len(read_metrics(folder)) == 3  # the best epoch 1, and two without improvement
    experiment_run.restart(folder, num_epochs=20)
    assert "ended after epoch 3 (no improvement for 2 epochs; the best was epoch 1). --nbEpoch begins a new patience" in caplog.text
    assert len(read_metrics(folder)) == 5
    state = json.loads((folder / "state.json").read_text())
    assert state["stopped_early"] and state["stop_reason"] == "no improvement for 2 epochs"


def test_an_extension_that_was_killed_before_its_first_checkpoint_goes_on_without_naming_it_again(tmp_path):
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 9\nearly_stopping_patience = 2"), *STUCK)
    folder = Path(experiment_run.train(file)["sessionFolder"])
    state, identity = (json.loads((folder / name).read_text()) for name in ("state.json", "experiment.json"))
    # What the extended training wrote before it was killed.
    (folder / "state.json").write_text(json.dumps({**state, "status": "training", "stopped_early": False, "patience_start": 3}))
    identity["settings"]["nbEpoch"] = 20
    (folder / "experiment.json").write_text(json.dumps(identity))
    experiment_run.restart(folder)
    assert len(read_metrics(folder)) == 5


def test_keras_own_early_stopping_gets_a_new_patience_too(tmp_path):
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 9"), *STUCK, added='''

def addon_callbacks():
    return [keras.callbacks.EarlyStopping("val_loss", patience=2)]
''')
    folder = Path(experiment_run.train(file)["sessionFolder"])
    assert len(read_metrics(folder)) == 3
    experiment_run.restart(folder, num_epochs=20)
    assert len(read_metrics(folder)) == 5


@pytest.mark.parametrize(("epoch", "best_epoch", "added", "told"), [
    (60, 12, "", True), (60, 50, "", False), (6, 1, "", True), (5, 1, "", False),
    (60, 12, "early_stopping_patience = 50\n", False)])
def test_epochs_long_after_the_best_are_told_of(tmp_path, epoch, best_epoch, added, told):
    settings = load_settings(write_experiment(tmp_path, added=added))
    text = told_late_epochs(TrainingProgress(epoch=epoch, best_epoch=best_epoch, best_value=0.5, last_metrics={"loss": 0.75}),
                            settings)
    assert bool(text) == told
    if told:
        assert f"epoch {best_epoch} of {epoch}, loss 0.5; the last one has 0.75" in text
        assert "The best one is exported" in text and "early_stopping_patience = 5" in text


def test_a_training_says_at_its_end_that_its_best_was_long_ago(tmp_path, caplog):
    experiment_run.train(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 6"), *STUCK))
    assert "The best evaluation was that of epoch 1 of 6" in caplog.text


def test_an_epoch_of_unknown_length_shows_its_steps_where_no_line_can_be_rewritten(monkeypatch):
    monkeypatch.setattr(console_progress, "_SECONDS_BETWEEN_LINES", 0.0)
    shown = {}
    for steps_per_epoch in (None, 3):
        progress, stream = TrainingProgress(), io.StringIO()
        callback = console_progress.ConsoleProgress(progress=progress, num_epochs=2, steps_per_epoch=steps_per_epoch, stream=stream)
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        for progress.step_in_epoch in (1, 2, 3):
            callback.on_train_batch_end(progress.step_in_epoch - 1, {"loss": 0.5})
        shown[steps_per_epoch] = stream.getvalue()
    assert shown[None] == "".join(f"epoch 1/2 step {step} of an unknown number, loss 0.5\n" for step in (1, 2, 3))
    assert shown[3] == ""
