"""A training that is killed again and again ends as the one that was left alone: to the last bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman.records.experiment_folder import ExperimentFolder, exported_versions
from tests.support.processes import ForkedProcess, run_script, start_script
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics, untimed

pytestmark = pytest.mark.slow

NUM_KILLS = 20
NUM_EPOCHS = 6
STEPS_PER_EPOCH = 30

# All that has a state: shuffling and random augmentation, NumPy's and Python's generators, dropout, batch normalisation, Adam,
# averages, a learning rate in stairs, early stopping. Each batch waits, so that a kill meets every part of an epoch.
REPLACEMENTS = (
    ("nbEpoch = 2", f"nbEpoch = {NUM_EPOCHS}\ncheckpoint_every_seconds = 0.03\nnum_epochs_per_decay = 1\n"
     "learning_rate_decay_factor = 0.7\nearly_stopping_patience = 20"),
    ("batch_size = 16", "batch_size = 3"),
    ("steps_per_execution = 1", "steps_per_execution = 2"),
    ("return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)", '''import random, time

    def drawn(x):
        time.sleep(0.01 if shuffle_batches else 0)
        return x + np.float32(np.random.normal() + random.random()) * 0.01

    dataset = dataset.map(lambda x, y: (x + tf.random.normal([3]) * 0.1, y), num_parallel_calls=2)
    if shuffle_batches:
        dataset = dataset.shuffle(90)
    dataset = dataset.batch(batch_size).map(lambda x, y: (tf.numpy_function(drawn, [x], tf.float32), y))
    return dataset.map(lambda x, y: (tf.ensure_shape(x, [None, 3]), y))'''))

MODEL = '''\
import keras


def model(data, n_outputs, hparams):
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(hparams["hiddenNeurons"])(data))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Activation("tanh")(hidden))
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs)(hidden)}
'''


def train_to_the_end(*arguments: str) -> None:
    done = run_script(*arguments)
    assert done.returncode == 0, done.stderr


def start_quiet(*arguments: str) -> ForkedProcess:
    """Starts the script; nobody reads what it prints."""
    return start_script(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def only_experiment(parent: Path) -> ExperimentFolder | None:
    found = list((parent / "experiments").glob("*/state.json"))
    return ExperimentFolder(found[0].parent) if found else None


def newest_step(folder: ExperimentFolder | None) -> int:
    names = [entry.name for entry in folder.checkpoints.glob("step-*")] if folder else []
    return max((int(name.removeprefix("step-")) for name in names), default=-1)


def kill_after_some_progress(process: ForkedProcess, parent: Path, chance: random.Random) -> bool:
    """Kills at a random moment after the next checkpoint; False when the training ended before that."""
    before = newest_step(only_experiment(parent))
    wanted = before + chance.randint(1, 8)
    while process.poll() is None and newest_step(only_experiment(parent)) < wanted:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.04))
    if process.poll() is not None:
        return False
    process.kill()
    return process.wait() == -signal.SIGKILL


def final_variables(folder: ExperimentFolder) -> dict[str, np.ndarray]:
    newest = folder.checkpoints / f"step-{newest_step(folder):09d}" / "variables"
    reader = tf.train.load_checkpoint(str(newest))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name}


def exported_answer(folder: ExperimentFolder) -> np.ndarray:
    base_path = folder.model_export_folder("line")
    model = tf.saved_model.load(str(base_path / str(exported_versions(base_path)[-1])))
    return model.signatures["serving_default"](x=tf.reshape(tf.range(30.0), [10, 3]))["prediction"].numpy()


def assert_same_end(one: ExperimentFolder, other: ExperimentFolder) -> None:
    assert untimed(read_metrics(one.path)) == untimed(read_metrics(other.path))
    variables, others = final_variables(one), final_variables(other)
    assert variables.keys() == others.keys() and len(variables) > 20
    for name, value in variables.items():
        assert value.tobytes() == others[name].tobytes(), name
    np.testing.assert_array_equal(exported_answer(one), exported_answer(other))
    assert one.read_state()["status"] == other.read_state()["status"] == "finished"


def prepare(folder: Path) -> Path:
    folder.mkdir()
    return write_experiment(folder, *REPLACEMENTS, model=MODEL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> ExperimentFolder:
    parent = tmp_path_factory.mktemp("undisturbed") / "run"
    train_to_the_end("--usersettings", str(prepare(parent)))
    folder = only_experiment(parent)
    assert [row["step"] for row in read_metrics(folder.path)] == [
        str(STEPS_PER_EPOCH * epoch) for epoch in range(1, NUM_EPOCHS + 1)]
    return folder


def test_a_training_killed_twenty_times_ends_bit_identical(tmp_path, undisturbed):
    chance = random.Random(7)
    parent = tmp_path / "run"
    process = start_quiet("--usersettings", str(prepare(parent)))
    num_kills = 0
    while num_kills < NUM_KILLS and kill_after_some_progress(process, parent, chance):
        num_kills += 1
        folder = only_experiment(parent)
        process = start_quiet("--restart_interrupted", "--model_dir", str(folder.path))
    assert process.wait(timeout=300) == 0
    assert num_kills >= NUM_KILLS, f"only {num_kills} kills before the end"
    assert_same_end(only_experiment(parent), undisturbed)


def test_a_training_stopped_by_signals_ends_bit_identical(tmp_path, undisturbed):
    parent = tmp_path / "run"
    process = start_quiet("--usersettings", str(prepare(parent)))
    for wanted, number in ((10, signal.SIGINT), (70, signal.SIGTERM)):
        while newest_step(only_experiment(parent)) < wanted:
            assert process.poll() is None
            time.sleep(0.002)
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == 128 + number
        folder = only_experiment(parent)
        assert folder.read_state()["status"] == "stopped"
        process = start_quiet("--restart_interrupted", "--model_dir", str(folder.path))
    assert process.wait(timeout=300) == 0
    assert_same_end(folder, undisturbed)
