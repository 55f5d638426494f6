"""The experiment that the benchmarks train and serve: y = x² by the multi-layer perceptron of the zoo."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

NUM_EPOCHS, STEPS_PER_EPOCH = 4, 2_000

SETTINGS = f'''\
import keras
import numpy as np
import tensorflow as tf

session_name, workingFolder = "parabola", "experiments"
model_file = "zoo:mlp"
hparams = {{"hiddenNeurons": 32}}
n_outputs = 1
raw_data_dir_train = raw_data_dir_val = ""
batch_size, nbEpoch = 100, {NUM_EPOCHS}
initial_learning_rate = 0.001
served_head, input_data_name = "prediction", "x"


def data_preprocess(features):
    return features


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))


def get_eval_metric_ops(predictions, labels):
    return {{}}


def get_input_pipeline_train_val(batch_size, shuffle_batches):
    x = np.random.default_rng(0).uniform(-1, 1, [batch_size * ({STEPS_PER_EPOCH} if shuffle_batches else 10), 1])
    return tf.data.Dataset.from_tensor_slices((x.astype(np.float32), (x ** 2).astype(np.float32))).batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 1], tf.float32)


class Client_IO:
    def getInputData(self, idx):
        raise StopIteration

    def decodeResponse(self, result):
        pass

    def finalize(self):
        pass
'''


def trained(folder: Path) -> Path:
    """Trains the experiment in a folder; returns the experiment's own."""
    import experiments_manager
    (folder / "mysettings.py").write_text(SETTINGS, encoding="utf-8")
    with _silent(), contextlib.chdir(folder):
        return folder / experiments_manager.run("mysettings.py")["sessionFolder"]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
