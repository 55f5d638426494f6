"""`deterministic_ops`: an operation that has no deterministic implementation is named, and what follows is the user's choice.

The stand-in refuses as TensorFlow's operations do on a GPU; the wish for a GPU is only written into the settings.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

import experiments_manager
from expman.cli.commands.check import check
from expman.errors import SettingsError, TrainingError
from expman.settings.loading import load_settings
from expman.training.distribution import devices
from expman.training.steps.op_determinism import is_deterministic, refuses_determinism, set_determinism
from tests.support.settings_files import write_experiment

REFUSING_LOSS = ("def get_total_loss(predictions, labels):", '''\
def refuse_determinism(value):
    from tensorflow.python.framework import config
    if config.is_op_determinism_enabled():
        raise NotImplementedError("A deterministic GPU implementation of StandIn is not currently available.")
    return value


def get_total_loss(predictions, labels):
    predictions = tf.ensure_shape(tf.py_function(refuse_determinism, [predictions], tf.float32), predictions.shape)''')
REFUSING_GRADIENT = (REFUSING_LOSS[0], REFUSING_LOSS[1].replace("def get_total_loss(predictions, labels):", '''\
@tf.custom_gradient
def stand_in(value):
    return value, lambda gradient: tf.ensure_shape(tf.py_function(refuse_determinism, [gradient], tf.float32), gradient.shape)


def get_total_loss(predictions, labels):''').replace(
    "tf.ensure_shape(tf.py_function(refuse_determinism, [predictions], tf.float32), predictions.shape)",
    "stand_in(predictions)"))


@pytest.fixture(autouse=True)
def _determinism_of_the_other_tests():
    yield
    set_determinism(True)


def setting(value):
    return ("served_head =", f"deterministic_ops = {value!r}\nserved_head =")


def test_true_refuses_before_training_with_the_operations_name_and_the_remedy(tmp_path):
    with pytest.raises(TrainingError, match=r"deterministic_ops = True: .*StandIn.*Set deterministic_ops = False"):
        experiments_manager.run(write_experiment(tmp_path, REFUSING_GRADIENT, setting(True)))
    assert not list(tmp_path.glob("**/experiment.json"))


@pytest.mark.parametrize("refusing", [REFUSING_LOSS, REFUSING_GRADIENT])
def test_auto_on_a_gpu_names_the_operation_trains_without_and_records_it(tmp_path, monkeypatch, caplog, refusing):
    monkeypatch.setattr(devices, "use_gpus", lambda ids: None)
    monkeypatch.setattr("expman.training.experiment_model.model_device", lambda ids: "/cpu:0")
    gpu = ("served_head =", "used_gpu_IDs = [0]\nbaseline = True\nserved_head =")
    result = experiments_manager.run(write_experiment(tmp_path, refusing, gpu))
    assert "StandIn" in caplog.text and not is_deterministic()
    assert "StandIn" in json.loads(Path(result["sessionFolder"], "experiment.json").read_text())["not_deterministic_because"]


@pytest.mark.parametrize("refusing", [REFUSING_LOSS, REFUSING_GRADIENT])
def test_on_the_cpu_the_check_of_the_first_batch_names_line_and_remedy(tmp_path, refusing):
    with pytest.raises(TrainingError, match=r"StandIn(.|\n)*mysettings\.py:\d+(.|\n)*Set deterministic_ops = False") as told:
        experiments_manager.run(write_experiment(tmp_path, refusing))
    assert "shapes" not in str(told.value)
    assert not list(tmp_path.glob("**/experiment.json"))


def test_false_trains_with_such_an_operation_although_an_earlier_experiment_was_deterministic(tmp_path):
    set_determinism(True)
    result = experiments_manager.run(write_experiment(tmp_path, REFUSING_LOSS, setting(False)))
    assert not is_deterministic()
    assert json.loads(Path(result["sessionFolder"], "experiment.json").read_text())["settings"]["deterministic_ops"] is False


def test_seeds_work_without_determinism_and_determinism_needs_a_seed(tmp_path):
    losses = [experiments_manager.run(write_experiment(tmp_path, setting(False)))["loss"] for _ in range(2)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    with pytest.raises(SettingsError, match="deterministic_ops needs random_seed"):
        load_settings(write_experiment(tmp_path, setting(True), ("served_head =", "random_seed = None\nserved_head =")))


def test_check_finds_it_before_training(tmp_path, capsys):
    assert check(write_experiment(tmp_path, REFUSING_LOSS, setting(True))) is False
    assert "StandIn" in capsys.readouterr().out


@pytest.mark.parametrize("message", [
    "A deterministic GPU implementation of FakeQuant is not currently available.",
    "Determinism is not yet supported in GPU implementation of Scatter ops with ref inputs.",
    "GPU MaxPool gradient ops do not yet have a deterministic XLA implementation",
    "The GPU implementation of SoftmaxCrossEntropyWithLogits that would have been executed is not deterministic.",
    "Timestamp cannot be called when determinism is enabled"])
def test_the_words_of_tensorflow_are_recognised(message):
    assert refuses_determinism(tf.errors.UnimplementedError(None, None, message))
    assert not refuses_determinism(tf.errors.UnimplementedError(None, None, 'File "test_determinism.py", this is not one'))
