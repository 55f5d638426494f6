"""Datasets of (features, labels, sample weights): numbers of training and evaluation as Keras' own."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import experiments_manager
from expman.errors import UserCodeError
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment

_TRIPLES = ("from_tensor_slices((x, y))",
            "from_tensor_slices((x, y, np.random.default_rng(2).uniform(0, 3, [90, 1]).astype(np.float32)))")
_LOSS = ("def get_total_loss(predictions, labels):\n    return tf.reduce_mean(tf.square(predictions - labels))",
         "def get_total_loss(predictions, labels, sample_weights):\n"
         "    return tf.reduce_mean(sample_weights * tf.square(predictions - labels))")
_MODEL = '''\
import keras


def model(data, n_outputs):
    return {"prediction": keras.layers.Dense(n_outputs, kernel_initializer="ones")(data)}
'''


@pytest.mark.parametrize("loss", ["", "del get_total_loss\nget_total_loss = 'mse'\n",
                                  "del get_total_loss\nget_total_loss = keras.losses.MeanSquaredError()\n"],
                         ids=["function", "name", "object"])
def test_training_and_evaluation_equal_those_of_keras(tmp_path: Path, loss: str,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    file = write_experiment(tmp_path, _TRIPLES, _LOSS, ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset"),
                            model=_MODEL, added="predict_using_smoothed_parameters = False\nprojector_num_samples = 4\n" + loss)
    result = experiments_manager.run(file)
    assert "change places" not in caplog.text
    inputs = keras.Input([3])
    reference = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    reference.compile(keras.optimizers.Adam(0.05), loss="mse",
                      weighted_metrics=[keras.metrics.RootMeanSquaredError(name="rmse")])
    x, y, weights = _data(0)
    history = reference.fit(x, y, sample_weight=weights, batch_size=16, epochs=2, shuffle=False, verbose=0).history
    x, y, weights = _data(1)
    expected = reference.evaluate(x, y, sample_weight=weights, batch_size=16, verbose=0, return_dict=True)
    with open(Path(result["sessionFolder"]) / "metrics.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    np.testing.assert_allclose([float(row["loss"]) for row in rows], history["loss"], rtol=1e-5)
    np.testing.assert_allclose([float(rows[-1][f"val_{name}"]) for name in ("loss", "rmse")],
                               [expected["loss"], expected["rmse"]], rtol=1e-5)


@pytest.mark.parametrize(("replacements", "message"), [
    ([_TRIPLES], "get_total_loss does not declare sample_weights"),
    ([_TRIPLES, (_LOSS[0], _LOSS[1].replace("sample_weights * ", ""))], "same whichever sample has which"),
    ([(_TRIPLES[0], _TRIPLES[1].replace("[90, 1]", "[90]")), _LOSS], "same whichever sample has which"),
    ([(_TRIPLES[0], _TRIPLES[1].replace("0, 3", "-1, 3")), _LOSS], "must be finite and not negative"),
], ids=["not declared", "not used", "broadcast", "negative"])
def test_weights_without_their_effect_are_refused(tmp_path: Path, replacements: list[tuple[str, str]], message: str) -> None:
    settings = load_settings(write_experiment(tmp_path, *replacements))
    with pytest.raises(UserCodeError, match=re.escape(message)):
        Estimator(settings=settings)


def _data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=[90, 3]).astype(np.float32)
    return x * 0.5, 2 * x.sum(axis=1, keepdims=True) + 1, np.random.default_rng(2).uniform(0, 3, [90, 1]).astype(np.float32)
