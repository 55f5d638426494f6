"""The user's callbacks and the plateau of the settings: as with Keras' own `fit`, and the same over restarts and kills."""

from __future__ import annotations

import collections
import json
import math
import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman import experiment_run
from expman.errors import SettingsError, UserCodeError
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from expman.training.user_functions.plain_values import NotPlainError, from_json, to_json
from tests.support.settings_files import write_experiment
from tests.support.training_runs import killed_within_an_epoch_and_restarted, read_metrics, start, untimed

UNSHUFFLED = ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset")
HEADER = "\npredict_using_smoothed_parameters = False\n"

PLATEAU = '''

def addon_callbacks():
    return [keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2, min_delta=0.5, cooldown=1)]
'''
EARLY_STOPPING = '''

def addon_callbacks():
    return [keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, min_delta=0.05, restore_best_weights=True)]
'''
OWN = '''

class Own(keras.callbacks.Callback):
    """Changes the learning rate by all that it remembers."""

    def __init__(self):
        super().__init__()
        self.losses, self.total, self.seen = [], np.zeros(3), {}
        self.generator = np.random.default_rng(3)
        self.best, self.num_trainings = None, 0

    def on_train_begin(self, logs=None):
        self.best = float("inf")
        self.num_trainings += 1

    def on_train_batch_end(self, batch, logs=None):
        self.total = self.total + self.generator.normal(size=3)
        if WAIT:
            import time
            time.sleep(WAIT)

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["val_loss"])
        self.best = min(self.best, logs["val_loss"])
        self.seen[epoch] = self.seen["last"] = (self.best, "epoch")
        change = np.exp(np.tanh(self.total).sum() * 0.1) * (1 + 0.01 * len(self.seen)) * (self.num_trainings + self.best)
        self.model.optimizer.learning_rate = float(0.01 * change + 0.001 * sum(self.losses))


def addon_callbacks():
    return [Own()]
'''
CALLBACKS = {"ReduceLROnPlateau": PLATEAU, "EarlyStopping": EARLY_STOPPING, "own": OWN.replace("WAIT", "0")}


def experiment(folder: Path, callbacks: str, *further: tuple[str, str], num_epochs: int, rate: float = 0.05) -> Path:
    folder.mkdir(exist_ok=True)
    return write_experiment(folder, UNSHUFFLED, ("nbEpoch = 2", f"nbEpoch = {num_epochs}"),
                            ('"learningRate": 0.05', f'"learningRate": {rate}'), *further, added=HEADER + callbacks)


def plain_fit(file: Path, callback: keras.callbacks.Callback, *, num_epochs: int) -> dict[str, list[float]]:
    """What Keras alone records of the same training with the same callback."""
    settings = load_settings(file)
    estimator = Estimator(settings=settings)
    plain = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)])
    plain.build([None, 3])
    plain.set_weights([weight.numpy() for weight in estimator.model.trainable_variables])
    plain.compile(keras.optimizers.Adam(settings.initial_learning_rate), loss="mse")
    train, validation = (data.dataset.map(lambda x, y: (x * 0.5, y))
                         for data in (estimator.train_data, estimator.validation_data))
    return plain.fit(train, validation_data=validation, epochs=num_epochs, verbose=0, shuffle=False,
                     callbacks=[callback]).history


def column(folder: str | Path, name: str) -> list[float]:
    return [float(row[name]) for row in read_metrics(folder)]


@pytest.mark.slow
def test_keras_reduce_lr_on_plateau_sets_the_rates_that_it_sets_in_fit_over_a_restart_too(tmp_path):
    file = experiment(tmp_path, PLATEAU, num_epochs=5)
    history = plain_fit(file, keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=0.5, cooldown=1),
                        num_epochs=14)
    folder = experiment_run.train(file)["sessionFolder"]
    experiment_run.restart(folder, num_epochs=14)
    assert len(set(history["learning_rate"])) > 2
    np.testing.assert_allclose(column(folder, "learning_rate"), history["learning_rate"], rtol=1e-6)
    np.testing.assert_allclose(column(folder, "val_loss"), history["val_loss"], rtol=1e-3)


@pytest.mark.slow
def test_keras_early_stopping_ends_where_it_ends_in_fit_over_a_restart_too(tmp_path):
    file = experiment(tmp_path, EARLY_STOPPING, num_epochs=5)
    history = plain_fit(file, keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=0.05), num_epochs=40)
    num_epochs = len(history["val_loss"])
    assert 6 < num_epochs < 40
    folder = experiment_run.train(file)["sessionFolder"]
    experiment_run.restart(folder, num_epochs=40)
    assert len(column(folder, "val_loss")) == num_epochs
    state = json.loads((Path(folder) / "state.json").read_text())
    assert state["stopped_early"] and state["stop_reason"] == "EarlyStopping of addon_callbacks stopped the training"


@pytest.mark.slow
@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_a_restart_gives_the_callbacks_back_what_they_knew(tmp_path, callbacks):
    whole = experiment_run.train(experiment(tmp_path / "whole", CALLBACKS[callbacks], num_epochs=8))["sessionFolder"]
    parts = experiment_run.train(experiment(tmp_path / "parts", CALLBACKS[callbacks], num_epochs=5))["sessionFolder"]
    experiment_run.restart(parts, num_epochs=8)
    assert untimed(read_metrics(parts)) == untimed(read_metrics(whole))


@pytest.mark.slow
def test_a_killed_process_gives_the_callbacks_back_what_they_knew_within_an_epoch(tmp_path):
    whole = experiment_run.train(experiment(tmp_path / "whole", CALLBACKS["own"], num_epochs=6))["sessionFolder"]
    often = ("steps_per_execution = 1", "steps_per_execution = 1\ncheckpoint_every_seconds = 0.01")
    process = start(experiment(tmp_path / "parts", OWN.replace("WAIT", "0.1"), often, num_epochs=6))
    folder, _ = killed_within_an_epoch_and_restarted(tmp_path / "parts" / "experiments", process)
    assert untimed(read_metrics(folder)) == untimed(read_metrics(whole))


@pytest.mark.slow
def test_plateau_patience_lowers_the_rate_as_keras_does_over_a_restart_too(tmp_path):
    settings = "plateau_patience = 2\nplateau_factor = 0.5\n"
    file = experiment(tmp_path, settings, num_epochs=6, rate=4.0)
    history = plain_fit(file, keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=0.0), num_epochs=20)
    folder = experiment_run.train(file)["sessionFolder"]
    experiment_run.restart(folder, num_epochs=20)
    assert len(set(history["learning_rate"])) > 2
    np.testing.assert_allclose(column(folder, "learning_rate"), history["learning_rate"], rtol=1e-6)


def test_plateau_patience_is_refused_beside_stairs(tmp_path):
    file = experiment(tmp_path, "plateau_patience = 2\nnum_epochs_per_decay = 1\nlearning_rate_decay_factor = 0.5\n", num_epochs=2)
    with pytest.raises(SettingsError, match="plateau_patience does not go with num_epochs_per_decay"):
        load_settings(file)


@pytest.mark.parametrize(("added", "name"), [(PLATEAU, "ReduceLROnPlateau of addon_callbacks"),
                                             ("plateau_patience = 2\n", "plateau_patience = 2")])
def test_what_sets_the_learning_rate_is_refused_beside_a_schedule_before_anything_is_written(tmp_path, added, name):
    schedule = ("return keras.optimizers.Adam(learning_rate)",
                "return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, 10))")
    file = experiment(tmp_path, added, schedule, num_epochs=2)
    with pytest.raises(UserCodeError, match=f"{name} would set the learning rate, but the optimizer of getOptimizer has a sche"):
        experiment_run.train(file)
    assert not (tmp_path / "experiments").exists()


def test_what_no_checkpoint_can_hold_is_told_by_name_before_training(tmp_path, caplog):
    file = experiment(tmp_path, '''

class Own(keras.callbacks.Callback):
    def __init__(self, model, val_samples):
        super().__init__()
        self.number, self.history, self.judge = 3, type("History", (), {})(), lambda loss: loss
        self.net, self.samples = model, val_samples


def addon_callbacks(model, val_samples):
    return [Own(model, val_samples)]
''', num_epochs=1)
    estimator = Estimator(settings=load_settings(file))
    estimator.prepare()
    assert "no checkpoint can hold history of Own" in caplog.text


def test_a_damaged_state_of_the_callbacks_is_passed_over_with_its_checkpoint(tmp_path, caplog):
    folder = Path(experiment_run.train(experiment(tmp_path, OWN.replace("WAIT", "0"), num_epochs=2))["sessionFolder"])
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    arrays = newest / "addon_callbacks.npz"
    arrays.write_bytes(arrays.read_bytes()[:40])
    experiment_run.restart(folder, num_epochs=3)
    assert f"Checkpoint {newest} cannot be used and is passed over" in caplog.text


def test_a_checkpoint_of_an_older_version_restarts_and_says_that_the_callbacks_begin_anew(tmp_path, caplog):
    folder = Path(experiment_run.train(experiment(tmp_path, OWN.replace("WAIT", "0"), num_epochs=2))["sessionFolder"])
    for file in (folder / "checkpoints").glob("step-*/addon_callbacks.*"):
        file.unlink()
    experiment_run.restart(folder, num_epochs=3)
    assert "holds no state of addon_callbacks, since an older version wrote it: they begin anew" in caplog.text
    assert len(read_metrics(folder)) == 3


@pytest.mark.parametrize("value", [
    None, True, 3, 2**70, "text", 0.1, math.inf, [1, [2.5, None]], (1, (2,)), {1: "a", "b": {2: (3,)}}, {1, 2}, frozenset({"a"}),
    collections.deque([1, 2], maxlen=3), np.arange(6, dtype=np.int16).reshape(2, 3), np.float32(0.1), np.less, keras.ops.less, dict])
def test_plain_values_come_back_as_they_were(value):
    arrays = []
    restored = from_json(json.loads(json.dumps(to_json(value, arrays))), arrays)
    assert type(restored) is type(value)
    np.testing.assert_array_equal(restored, value) if isinstance(value, np.ndarray) else (
        np.testing.assert_equal(restored, value))
    assert getattr(restored, "dtype", None) == getattr(value, "dtype", None)
    assert getattr(restored, "maxlen", None) == getattr(value, "maxlen", None)


def test_random_generators_and_tensors_come_back_as_they_were():
    value = {"numpy": np.random.default_rng(1), "python": random.Random(1), "tensor": tf.constant([1.5])}
    value["numpy"].normal(size=3), value["python"].gauss(0, 1)
    arrays = []
    restored = from_json(json.loads(json.dumps(to_json(value, arrays))), arrays)
    assert restored["numpy"].normal() == value["numpy"].normal()
    assert restored["python"].gauss(0, 1) == value["python"].gauss(0, 1)
    assert restored["tensor"].dtype == tf.float32 and float(restored["tensor"][0]) == 1.5


@pytest.mark.parametrize("value", [object(), lambda: 0, [object()], np.array([object()]), {"a": open}.items()])
def test_other_values_are_refused(value):
    with pytest.raises(NotPlainError):
        to_json(value, [])
