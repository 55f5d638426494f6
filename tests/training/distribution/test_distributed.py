"""One training on several devices and in several processes: the same curve as on one device, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import TrainingError
from expman.settings.loading import load_settings
from expman.tf_config import tf_config
from expman.training.distribution.cluster import multi_worker_strategy
from expman.training.distribution.replica_batches import part_of_batch
from expman.training.distribution.replicas import check_replicas
from tests.support.processes import ForkedProcess, run_python, start_script
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment
from tests.support.training_runs import SLOW, read_metrics, wait_for_epoch

pytestmark = pytest.mark.slow

MIRRORED = "\ndistribution_strategy = 'MirroredStrategy'\n"
WORKERS = "\ndistribution_strategy = 'MultiWorkerMirroredStrategy'\n"
ON_TWO_DEVICES = '''\
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import experiments_manager
sys.exit(experiments_manager.main(sys.argv[1:]))
'''


def train_on_two_devices(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_python("-c", ON_TWO_DEVICES, *arguments)


def only_experiment(parent: Path) -> Path:
    (folder,) = (parent / "experiments").glob("*")
    return folder


def assert_same_curve(folder: Path, other: Path) -> None:
    """metrics.csv is the same but for times and rounding."""
    rows, other_rows = read_metrics(folder), read_metrics(other)
    assert [row["step"] for row in rows] == [row["step"] for row in other_rows]
    for row, other_row in zip(rows, other_rows, strict=True):
        assert row.keys() == other_row.keys()
        for name in row.keys() - {"seconds"}:
            np.testing.assert_allclose(float(row[name]), float(other_row[name]), rtol=1e-4, err_msg=name)


def start_workers(*arguments: str | Path, logs: Path) -> list[ForkedProcess]:
    """Two processes on loopback; their output goes into `worker<index>.log`."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    hosts = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    processes = []
    for index in range(2):
        with open(logs / f"worker{index}.log", "w", encoding="utf-8") as log:
            processes.append(start_script(*arguments, stdout=log, stderr=subprocess.STDOUT,
                                          env={**os.environ, "TF_CONFIG": tf_config(hosts, index=index)}))
    return processes


@pytest.fixture
def workers() -> Iterator[list[ForkedProcess]]:
    """Processes put into this list do not outlive the test."""
    started: list[ForkedProcess] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def log_of(index: int, logs: Path) -> str:
    return (logs / f"worker{index}.log").read_text(encoding="utf-8")


WEIGHTED = (  # integers as labels, with weights of their classes and of the samples
    ("    y = slope * x.sum(axis=1, keepdims=True) + 1\n", "    y = (x.sum(axis=1) > 1).astype(np.int32)\n"),
    ("from_tensor_slices((x, y))", "from_tensor_slices((x, y, np.linspace(0, 3, 90, dtype=np.float32)))"),
    ("def get_total_loss(predictions, labels):\n    return tf.reduce_mean(tf.square(predictions - labels))",
     "get_total_loss = keras.losses.BinaryCrossentropy(from_logits=True)"),
    ('    return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),\n'
     '            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}',
     '    return {"rmse": (keras.metrics.RootMeanSquaredError, labels[:, tf.newaxis], predictions)}'))


def test_two_mirrored_devices_weigh_samples_and_classes_as_one_does(tmp_path, script):
    parents = [tmp_path / name for name in ("one", "two")]
    for parent, added in zip(parents, ("", MIRRORED)):
        parent.mkdir()
        write_experiment(parent, ("batch_size = 16", "batch_size = 89"), *WEIGHTED, added=f"{added}class_weights = 'balanced'\n")
    one = script("--usersettings", parents[0] / "mysettings.py")
    two = train_on_two_devices("--usersettings", parents[1] / "mysettings.py")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert "class_weights = 'balanced': 0: " in one.stderr and "class_weights = 'balanced': 0: " in two.stderr
    assert_same_curve(*map(only_experiment, parents))


def test_two_mirrored_devices_train_to_the_curve_of_one(tmp_path, script):
    parents = [tmp_path / name for name in ("one", "two")]
    for parent, added in zip(parents, ("", MIRRORED)):
        parent.mkdir()
        # The last batch has one sample for two devices.
        write_experiment(parent, ("batch_size = 16", "batch_size = 89"), added=f"{added}\ngradient_clip_norm = 2.0\n")
    one = script("--usersettings", parents[0] / "mysettings.py")
    two = train_on_two_devices("--usersettings", parents[1] / "mysettings.py")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    folders = [only_experiment(parent) for parent in parents]
    assert_same_curve(*folders)
    answers = []
    for folder in folders:
        model = tf.saved_model.load(str(sorted((folder / "export" / "line").glob("*"))[-1]))
        answers.append(model.signatures["serving_default"](x=tf.reshape(tf.range(30.0), [10, 3]))["prediction"].numpy())
    np.testing.assert_allclose(*answers, rtol=1e-3)


@pytest.mark.parametrize("added", ["", "nb_train_samples = 40\n"])
def test_a_mirrored_training_is_extended_from_its_checkpoint(tmp_path, added):
    for name, num_epochs in (("short", 1), ("long", 2)):
        (tmp_path / name).mkdir()
        file = write_experiment(tmp_path / name, ("nbEpoch = 2", f"nbEpoch = {num_epochs}"), added=MIRRORED + added)
        assert train_on_two_devices("--usersettings", file).returncode == 0
    folder = only_experiment(tmp_path / "short")
    restarted = train_on_two_devices("--restart_interrupted", "--model_dir", folder, "--nbEpoch", "2")
    assert restarted.returncode == 0, restarted.stderr
    assert_same_curve(folder, only_experiment(tmp_path / "long"))


def test_a_value_that_is_not_finite_on_one_device_stops_all_of_them(tmp_path):
    file = write_experiment(tmp_path, ("y = slope *", "x[85] = np.nan\n    y = slope *"),
                            ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset"), added=MIRRORED)
    ended = train_on_two_devices("--usersettings", file)
    assert ended.returncode == 1 and "The first tensor that is not finite: features" in ended.stderr, ended.stderr


def test_two_workers_train_to_the_curve_of_one_process_and_the_chief_alone_writes(tmp_path, workers, trained):
    workers += start_workers("--usersettings", write_experiment(tmp_path, added=WORKERS), logs=tmp_path)
    assert [process.wait(timeout=200) for process in workers] == [0, 0], log_of(0, tmp_path) + log_of(1, tmp_path)
    folder = only_experiment(tmp_path)  # there is only one
    assert_same_curve(folder, Path(trained["sessionFolder"]))
    assert {entry.name for entry in folder.iterdir()} == {entry.name for entry in Path(trained["sessionFolder"]).iterdir()}
    event_files = [len(list(Path(parent).glob("logs/train/events*"))) for parent in (folder, trained["sessionFolder"])]
    assert event_files[0] == event_files[1]
    assert json.loads((folder / "state.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_others_and_all_restart_from_the_checkpoint(tmp_path, workers, script, victim):
    parents = [tmp_path / name for name in ("workers", "undisturbed")]
    for parent in parents:
        parent.mkdir()
    replacements = (("nbEpoch = 2", "nbEpoch = 3"), SLOW)
    file = write_experiment(parents[0], *replacements, added=WORKERS)
    workers += start_workers("--usersettings", file, logs=tmp_path)
    folder = wait_for_epoch(parents[0] / "experiments", 1, workers[0])
    workers[victim].kill()
    assert workers[1 - victim].wait(timeout=60) == 1
    assert "another worker ended or failed" in log_of(1 - victim, tmp_path)
    again = start_workers("--restart_interrupted", "--model_dir", folder, logs=tmp_path)
    workers += again
    assert [process.wait(timeout=200) for process in again] == [0, 0], log_of(0, tmp_path) + log_of(1, tmp_path)
    assert script("--usersettings", write_experiment(parents[1], *replacements)).returncode == 0
    assert_same_curve(folder, only_experiment(parents[1]))


def test_a_signal_to_one_worker_stops_all_after_the_same_step(tmp_path, workers):
    workers += start_workers("--usersettings", write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 5000"), added=WORKERS),
                             logs=tmp_path)
    folder = wait_for_epoch(tmp_path / "experiments", 1, workers[0])
    workers[1].send_signal(signal.SIGTERM)
    assert [process.wait(timeout=100) for process in workers] == [143, 143]
    assert json.loads((folder / "state.json").read_text())["status"] == "stopped"


@pytest.mark.parametrize("num_samples", [1, 2, 5, 16])
@pytest.mark.parametrize("num_parts", [1, 2, 3])
def test_the_parts_of_a_batch_hold_each_sample_once(num_samples, num_parts):
    x = tf.range(num_samples)
    parts = [part_of_batch((x, -x), index=tf.constant(index, tf.int64), num_parts=num_parts) for index in range(num_parts)]
    kept = [features[:count].numpy() for (features, _), count in parts]
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(num_samples))
    assert all(len(features) >= 1 for (features, _), _ in parts)
    assert max(map(len, kept)) - min(map(len, kept)) <= 1


@pytest.mark.parametrize("text", ["", "{", '{"cluster": {"worker": ["a:1"]}}', "[]",
                                  '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
                                  '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}'])
def test_a_missing_or_wrong_tf_config_is_explained(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(TrainingError, match="TF_CONFIG must be set in each process"):
        multi_worker_strategy()


def test_settings_that_several_devices_cannot_follow_are_all_named(tmp_path):
    settings = load_settings(write_experiment(
        tmp_path, ("steps_per_execution = 1", "steps_per_execution = 3"),
        added="\ngradient_accumulation_steps = 2\nrandom_seed = None\n"))
    check_replicas(settings, num_replicas=1)
    named = "(?s)steps_per_execution = 3 .*gradient_accumulation_steps = 2 .*random_seed = None"
    with pytest.raises(TrainingError, match=named):
        check_replicas(settings, num_replicas=2)


def test_tf_config_names_all_workers_and_the_own_number():
    printed = subprocess.run([sys.executable, "-m", "expman.tf_config", "--hosts", "a,b:7", "--index", "1", "--port", "5"],
                             cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == {"cluster": {"worker": ["a:5", "b:7"]}, "task": {"type": "worker", "index": 1}}
    with pytest.raises(ValueError, match="from 0 to 0"):
        tf_config(["a"], index=1)
