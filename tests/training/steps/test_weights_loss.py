"""`weights_loss`: regularisers and the losses of layers reach the user's loss, in training, evaluation and mode 'infer'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment

# The loss is weights_loss alone, so that what the manager reports is what it offered.
ONLY_WEIGHTS_LOSS = ('''def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))
''', '''def get_total_loss(weights_loss):
    return weights_loss
''')
ONE_STEP = [("batch_size = 16", "batch_size = 90"), ("nbEpoch = 2", "nbEpoch = 1")]  # all samples in one batch
MODEL = '''\
import keras


class MeanSquare(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def model(data, n_outputs, hparamsMODE):
    data = LAYER(data)
    return {"prediction": keras.layers.Dense(n_outputs, use_bias=False, kernel_regularizer=REGULARIZER)(data)}
'''


def run(folder: Path, *, layer: str, regularizer: str, declares_mode: bool, settings: tuple = ()) -> dict:
    model = MODEL.replace("LAYER", layer).replace("REGULARIZER", regularizer)
    model = model.replace("MODE", ", mode" if declares_mode else "")
    return experiments_manager.run(write_experiment(folder, ONLY_WEIGHTS_LOSS, *settings, model=model))


def served_kernel(result: dict) -> np.ndarray:
    """The evaluated weights: what the export answers to unit vectors, which the preprocessing halves."""
    served = tf.saved_model.load(result["last_exported_model"]).signatures["prediction"]
    return 2 * served(x=tf.eye(3))["prediction"].numpy()[:, 0]


@pytest.mark.parametrize("declares_mode", [False, True])
@pytest.mark.parametrize("smoothed", [False, True])
def test_a_regulariser_is_evaluated_on_the_evaluated_weights(tmp_path, declares_mode, smoothed):
    smoothing = ("served_head", f"predict_using_smoothed_parameters = {smoothed}\nserved_head")
    result = run(tmp_path, layer="keras.layers.Identity()", regularizer="keras.regularizers.L2(0.1)",
                 declares_mode=declares_mode, settings=(smoothing,))
    assert result["loss"] == pytest.approx(0.1 * np.sum(np.square(served_kernel(result))), rel=1e-5)


@pytest.mark.parametrize("declares_mode", [False, True])
def test_the_loss_of_a_layer_is_that_of_the_evaluated_batch(tmp_path, declares_mode):
    result = run(tmp_path, layer="MeanSquare()", regularizer="keras.regularizers.L2(0.1)", declares_mode=declares_mode,
                 settings=ONE_STEP)
    validation = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32) * 0.5
    expected = np.mean(np.square(validation)) + 0.1 * np.sum(np.square(served_kernel(result)))
    assert result["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_lowers_a_regulariser(tmp_path):
    longer = ("batch_size = 16", "batch_size = 1")
    result = run(tmp_path, layer="keras.layers.Identity()", regularizer="keras.regularizers.L2(0.1)", declares_mode=False,
                 settings=(longer,))
    assert result["loss"] < 1e-3


def test_a_network_without_any_has_a_weights_loss_of_zero(tmp_path):
    constant = ("return weights_loss", "return weights_loss + 0 * tf.reduce_sum(predictions)")
    declared = ("get_total_loss(weights_loss)", "get_total_loss(predictions, weights_loss)")
    assert run(tmp_path, layer="keras.layers.Identity()", regularizer="None", declares_mode=False,
               settings=(declared, constant))["loss"] == 0


def test_concrete_dropout_is_trained_evaluated_and_served(tmp_path):
    loss = ('''def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))
''', '''def get_total_loss(model_outputs_dict, labels, weights_loss):
    return weights_loss + tf.reduce_mean(gaussian_negative_log_likelihood(
        labels, model_outputs_dict["prediction_mean"], model_outputs_dict["prediction_log_variance"]))
''')
    imported = ("import keras\n", "import keras\n"
                                  "from model_zoo.losses.heteroscedastic import gaussian_negative_log_likelihood\n")
    file = write_experiment(
        tmp_path, loss, imported, ('"label": "a"', '"nb_train_samples": 90, "drop_inputs": False'),
        ('served_head = "prediction"', 'served_head = "prediction_mean"'),
        ('"model.py"', f'"{ROOT / "model_zoo" / "mlp_concrete_dropout.py"}"'), ("batch_size = 16", "batch_size = 1"),
        ("nbEpoch = 2", "nbEpoch = 1"), model=None)
    result = experiments_manager.run(file)
    validation = 2 * np.random.default_rng(1).normal(size=[90, 3]).sum(axis=1)
    assert np.isfinite(result["loss"]) and result["mae"] < np.mean(np.abs(validation))  # the best constant
    served = tf.saved_model.load(result["last_exported_model"]).signatures["serving_default"]
    one, other = (served(x=tf.ones([1, 3])) for _ in range(2))
    assert set(one) == {"code", "prediction_mean", "prediction_log_variance", "epistemic_deviation", "aleatoric_deviation"}
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
    assert float(one["epistemic_deviation"][0, 0]) > 0


def test_a_regulariser_counts_without_being_asked_for(tmp_path):
    file = write_experiment(tmp_path, ("return tf.reduce_mean(tf.square(predictions - labels))",
                                       "return 0.0 * tf.reduce_sum(predictions)"), *ONE_STEP,
                            model=MODEL.replace("LAYER", "keras.layers.Identity()").replace("MODE", "")
                            .replace("REGULARIZER", "keras.regularizers.L2(0.1)"))
    result = experiments_manager.run(file)
    assert result["loss"] == pytest.approx(0.1 * np.sum(np.square(served_kernel(result))), rel=1e-5)
