"""Mistakes in the user's files and commands: a clear message, a non-zero exit, nothing half written."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

import experiments_manager
from tests.support.settings_files import MODEL, line_of, write_experiment

MODEL_BODY = MODEL[MODEL.index("    hidden"):]
PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
LOSS = "return tf.reduce_mean(tf.square(predictions - labels))"


def train(capsys, file: Path) -> tuple[int, str]:
    """Runs a training that must fail before it writes anything; returns the exit code and the message."""
    code = experiments_manager.main(["--usersettings", str(file)])
    assert not (file.parent / "experiments").exists()
    message = capsys.readouterr().err
    assert all(str(file.parent) in line for line in message.splitlines() if line.startswith('  File "'))
    return code, message


@pytest.mark.parametrize(("returned", "expected"), [
    ("    return keras.layers.Dense(1)(data)\n", "model must return a dict from names to Keras tensors"),
    ("    return {}\n", "model must return a dict from names to Keras tensors"),
    ("    return {'out': keras.layers.Dense(1)(data)}\n", "output named as served_head = 'prediction'. Its outputs are: out."),
    ("    return {'prediction': 3}\n", "output 'prediction' of model must be a Keras tensor. Got int."),
    ("    return {'prediction': data}\n", "model has no trainable weights"),
    ("    return {'prediction': keras.layers.Dense(hparams['units'])(data)}\n", "model raised an exception")])
def test_a_model_that_breaks_the_contract(tmp_path, capsys, returned, expected):
    file = write_experiment(tmp_path, model=MODEL.replace(MODEL_BODY, returned))
    code, message = train(capsys, file)
    assert code == 1 and expected in message and f"{tmp_path / 'model.py'}:" in message


@pytest.mark.parametrize(("old", "new", "expected"), [
    (PIPELINE, "return dataset.take(0).batch(batch_size)", "the training data are empty: get_input_pipeline_train_val("
     "batch_size=16, raw_data_files_folder='train', …) gave no batch. Correct raw_data_dir_train"),
    (PIPELINE, "return dataset.batch(1000, drop_remainder=True)", "lower batch_size if incomplete batches are dropped"),
    (PIPELINE, "return dataset.repeat().batch(batch_size)", "the training data never end, since the dataset repeats itself. "
     "Set nb_train_samples, or remove the repeat()."),
    (PIPELINE, "return [1, 2]", "must return a tf.data.Dataset, a function that makes one, or the pair (function, None). Got list"),
    (PIPELINE, "return dataset.map(lambda x, y: x).batch(batch_size)", "must yield pairs (features, labels)"),
    (PIPELINE, "return open('/nowhere/data.csv')", "FileNotFoundError"),
    (LOSS, "return tf.square(predictions - labels)", "get_total_loss must return a scalar tensor. Got shape (16, 1). "
     "Average it"),
    (LOSS, "return tf.reduce_mean(tf.square(predictions - tf.reshape(labels, [-1, 2])))", "The first batch: features "
     "float32(16, 3); labels float32(16, 1); model outputs 'code' float32(None, 8), 'prediction' float32(None, 1)."),
    (LOSS, "return tf.reduce_mean(tf.matmul(predictions, tf.ensure_shape(labels, [None, 5])))", "get_total_loss raised"),
    ("def get_total_loss(predictions, labels)", "def get_total_loss(predictions, labels, colour)", "unknown parameter 'colour'"),
    ("return keras.optimizers.Adam(learning_rate)", "return 'adam'", "getOptimizer must return a Keras optimizer"),
    ('return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),', 'return {"mae": tf.abs(predictions - labels),',
     "metric 'mae' of get_eval_metric_ops must be a scalar tensor. Got shape"),
    ("return tf.TensorSpec([None, 3], tf.float32)", "return [None, 3]", "must return a tf.TensorSpec"),
    ("return tf.TensorSpec([None, 3], tf.float32)", "return tf.TensorSpec([None, 4], tf.float32)",
     "the model cannot take the inputs that get_input_pipeline_serving declares"),
    ("return tf.TensorSpec([None, 3], tf.float32)", "return {'x': tf.TensorSpec([None, 3]), 'X': tf.TensorSpec([None, 3])}",
     "the names of two served inputs must differ in more than their case. Got 'x' and 'X'"),
    ("return tf.TensorSpec([None, 3], tf.float32)", "return {'a': tf.TensorSpec([None, 3]), 'b': tf.TensorSpec([None, 3])}",
     "data_preprocess"),
    ('input_data_name = "x"', 'def model_outputs_postprocessing_for_serving(model_outputs_dict):\n    return {"other": '
     'model_outputs_dict["prediction"]}\n', "must return an output named as served_head = 'prediction'. It returns: other."),
    ("nbEpoch = 2", "nbEpoch = 2\nused_gpu_IDs = [99]", "used_gpu_IDs names GPU 99")])
def test_settings_that_do_not_fit_together(tmp_path, capsys, old, new, expected):
    file = write_experiment(tmp_path, (old, new))
    code, message = train(capsys, file)
    assert code in (1, 2) and expected in message


def test_the_message_names_the_line_of_the_users_function(tmp_path, capsys):
    file = write_experiment(tmp_path, (LOSS, "return 1 / 0"))
    _, message = train(capsys, file)
    assert f"{file}:{line_of(file, '    return 1 / 0')}: get_total_loss raised an exception." in message
    assert "ZeroDivisionError" in message and "experiment_model.py" not in message


def test_embedding_code_of_a_model_without_code(tmp_path, capsys):
    file = write_experiment(tmp_path, ("def get_total_loss(predictions, labels)", "def get_total_loss(embedding_code, labels)"),
                            (LOSS, "return 0.0"), model=MODEL.replace('"code"', '"hidden"'))
    _, message = train(capsys, file)
    assert "get_total_loss asks for embedding_code, but `model` has no output named 'code'" in message


@pytest.mark.parametrize(("arguments", "expected"), [
    (["--usersettings", "a.py", "--predict"], "not allowed with argument"),
    (["--predict"], "needs --model_dir"), (["--usersettings", "a.py", "--model_dir", "b"],
                                                   "goes with --restart_interrupted or --evaluate or --start_server or --predict only"),
    (["--predict", "--model_dir", "a", "--hparams", "b=1"], "--hparams goes with --usersettings or --check only"),
    (["--check", "--predict", "--model_dir", "a"], "argument --predict: not allowed with argument --check"),
    (["--start_server", "--model_dir", "a", "--port", "66000"], "must be a port number from 0 to 65535. Got '66000'"),
    (["--predict", "--model_dir", "a", "--predict_steam", "3"], "Did you mean --predict_stream?"),
    (["--restart_interrupted", "--model_dir", "a", "--nbEpoch", "0"], "must be an int above 0. Got '0'"),
    (["--start_server", "--model_dir", "a", "--serving_engine", "podman"], "invalid choice: 'podman'")])
def test_flags_that_do_not_fit(capsys, arguments, expected):
    with pytest.raises(SystemExit) as end:
        experiments_manager.main(arguments)
    assert end.value.code == 2 and expected in capsys.readouterr().err


@pytest.mark.parametrize("command", ["--restart_interrupted", "--start_server", "--predict"])
def test_a_folder_without_experiment(tmp_path, capsys, command):
    assert experiments_manager.main([command, "--model_dir", str(tmp_path)]) == 1
    assert "holds no experiment" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["--start_server", "--predict"])
def test_an_experiment_without_export(tmp_path, capsys, trained, command):
    folder = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], folder, ignore=shutil.ignore_patterns("export"))
    assert experiments_manager.main([command, "--model_dir", str(folder)]) == 1
    assert "has no exported model yet" in capsys.readouterr().err


def test_a_port_in_use(capsys, trained):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code = experiments_manager.main(["--start_server", "--model_dir", trained["sessionFolder"], "--serving_engine",
                                         "embedded", "--port", str(port)])
    message = capsys.readouterr().err
    assert code == 1 and f"{port}" in message and "in use" in message and "--port" in message


def experiment_with_client(folder: Path, trained: dict, *replacement: str) -> Path:
    """A copy of the trained experiment whose settings file differs in one place."""
    shutil.copytree(trained["sessionFolder"], folder)
    settings = (folder / "experiment_settings.py").read_text()
    assert replacement[0] in settings
    (folder / "experiment_settings.py").write_text(settings.replace(*replacement))
    return folder


def test_a_server_that_is_not_there(tmp_path, capsys, trained):
    folder = experiment_with_client(tmp_path / "copy", trained, "secs = 30", "secs = 1")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = experiments_manager.main(["--predict", "--model_dir", str(folder), "--port", str(port)])
    message = capsys.readouterr().err
    assert code == 1 and f"127.0.0.1:{port}" in message and "--start_server" in message


def test_a_client_that_lacks_a_method(tmp_path, capsys, trained):
    folder = experiment_with_client(tmp_path / "copy", trained, "def decodeResponse", "def decode")
    assert experiments_manager.main(["--predict", "--model_dir", str(folder)]) == 2
    assert "Client_IO method decodeResponse(self, result) is missing" in capsys.readouterr().err


def test_a_model_folder_with_a_damaged_identity(tmp_path, capsys, trained):
    folder = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], folder)
    (folder / "experiment.json").write_text(json.dumps({})[:1])
    assert experiments_manager.main(["--start_server", "--model_dir", str(folder)]) == 1
    assert "experiment.json cannot be read" in capsys.readouterr().err
