"""Writes small experiments for the tests: a settings file that trains in a second, with parts replaced."""

from __future__ import annotations

from pathlib import Path

SETTINGS = '''\
import keras
import numpy as np
import tensorflow as tf

session_name = "line"
workingFolder = "WORKING_FOLDER"
model_file = "model.py"
hparams = {"hiddenNeurons": 8, "learningRate": 0.05, "slope": 2.0, "addNoise": False, "label": "a"}
n_outputs = 1
raw_data_dir_train = "train"
raw_data_dir_val = "val"
batch_size = 16
nbEpoch = 2
steps_per_execution = 1
initial_learning_rate = hparams["learningRate"]
weights_moving_average_decay = 0.9
served_head = "prediction"
input_data_name = "x"
tensorflow_server_port = 0
wait_for_server_ready_int_secs = 30
slope = hparams["slope"]


def data_preprocess(features):
    return features * 0.5


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))


def get_eval_metric_ops(predictions, labels):
    return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),
            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    x = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).normal(size=[90, 3]).astype(np.float32)
    y = slope * x.sum(axis=1, keepdims=True) + 1
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 3], tf.float32)


class Client_IO:
    def __init__(self, clientInitSpecs, debugMode):
        self.answers = []

    def getInputData(self, idx):
        if idx > 3:
            raise StopIteration
        return np.full([1, 3], idx, np.float32)

    def decodeResponse(self, result):
        self.answers.append(result.outputs["prediction"].float_val[0])

    def finalize(self):
        print("answers", [round(answer, 3) for answer in self.answers])
'''

MODEL = '''\
import keras


def model(data, n_outputs, hparams):
    hidden = keras.layers.Dense(hparams["hiddenNeurons"], activation="tanh")(data)
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs)(hidden)}
'''


def write_experiment(folder: Path, *replacements: tuple[str, str], added: str = "", model: str | None = MODEL) -> Path:
    """Writes a settings file and its model file into a folder.

    Arguments:
        folder: gets `mysettings.py`, `model.py` and, when trained, `experiments/`.
        replacements: (old, new) parts of `SETTINGS`; each old part must occur, the working folder filled in.
        added: appended to the settings file.
        model: text of the model file; None for no such file.
    """
    text = SETTINGS.replace("WORKING_FOLDER", str(folder / "experiments"))
    for old, new in replacements:
        assert old in text, f"{old!r} is no part of the settings"
        text = text.replace(old, new)
    file = folder / "mysettings.py"
    file.write_text(text + added, encoding="utf-8")
    if model is not None:
        (folder / "model.py").write_text(model, encoding="utf-8")
    return file


def line_of(file: Path, beginning: str) -> int:
    """The number of the first line that begins with a text."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(beginning))
