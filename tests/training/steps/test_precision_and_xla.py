"""Mixed precision and XLA against plain Keras doing the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman.records.experiment_folder import ExperimentFolder
from expman.settings.loading import load_settings
from expman.training.distribution import devices
from expman.training.estimator import Estimator
from expman.training.steps import weights_averaging
from tests.support.settings_files import MODEL, write_experiment

UNSHUFFLED = ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset")


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.mixed_precision.set_dtype_policy("float32")


def trained(folder, added=""):
    estimator = Estimator(settings=load_settings(write_experiment(
        folder, UNSHUFFLED, added=f"\npredict_using_smoothed_parameters = False\n{added}")))
    initial = [weight.numpy() for weight in estimator.model.trainable_variables]
    estimator.train(ExperimentFolder.create(working_folder=folder, session_name="a", hparams={}))
    return estimator, initial


def plain_keras(initial, dataset, policy):
    """The small network trained by plain `fit` under a precision policy, from the same weights."""
    keras.mixed_precision.set_dtype_policy(policy)
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(8, activation="tanh")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.set_weights(initial)
    model.compile(keras.optimizers.Adam(0.05), jit_compile=False,
                  loss=lambda labels, predictions: tf.reduce_mean(tf.square(predictions - labels)))
    model.fit(dataset.map(lambda x, y: (x * 0.5, y)), epochs=2, verbose=0, shuffle=False)
    return model.get_weights()


def test_mixed_precision_computes_in_bfloat16_on_the_cpu_as_plain_keras_does(tmp_path):
    estimator, initial = trained(tmp_path, "enable_mixed_precision = True")
    assert estimator.model.network.layers[-1].compute_dtype == "bfloat16"
    assert estimator.model.trainable_variables[0].dtype == "float32"
    expected = plain_keras(initial, estimator.train_data.dataset, "mixed_bfloat16")
    in_float32 = plain_keras(initial, estimator.train_data.dataset, "float32")
    for one, other, full in zip(estimator.model.trainable_variables, expected, in_float32):
        np.testing.assert_allclose(one.numpy(), other, rtol=0.02, atol=0.02)
        assert not np.array_equal(one.numpy(), full)


def test_the_users_functions_get_float32_from_both_networks_of_a_model_with_a_mode(tmp_path):
    write_experiment(tmp_path, ("get_total_loss(predictions, labels):", """get_total_loss(predictions, labels):
    assert predictions.dtype == tf.float32, predictions.dtype"""), added="\nenable_mixed_precision = True\n",
                     model=MODEL.replace("hparams)", "hparams, mode)"))
    estimator = Estimator(settings=load_settings(tmp_path / "mysettings.py"))
    estimator.train(ExperimentFolder.create(working_folder=tmp_path, session_name="a", hparams={}))
    features = estimator.train_data.first_batch[0]
    for is_training in (True, False):
        assert estimator.model(features, training=is_training)["prediction"].dtype == tf.float32


def test_xla_changes_only_the_rounding(tmp_path):
    (tmp_path / "xla").mkdir(), (tmp_path / "plain").mkdir()
    compiled, _ = trained(tmp_path / "xla", "useXLA = True")
    plain, _ = trained(tmp_path / "plain")
    assert compiled.model.jit_compile and not plain.model.jit_compile
    for one, other in zip(compiled.model.trainable_variables, plain.model.trainable_variables):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("capability", "policy"), [((7, 0), "mixed_float16"), ((8, 0), "mixed_bfloat16"), ((9, 0), "mixed_bfloat16")])
def test_a_gpu_gets_bfloat16_from_its_capability_on(monkeypatch, capability, policy):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": capability})
    devices.set_precision(mixed=True, gpu_ids=[0])
    assert keras.mixed_precision.dtype_policy().name == policy


def test_float16_scales_the_loss_and_the_averages_stay_those_of_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_has_bfloat16", lambda gpu_ids: False)
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, added="\nenable_mixed_precision = True\n")))
    assert isinstance(estimator.model.optimizer, keras.optimizers.LossScaleOptimizer)
    estimator.train(ExperimentFolder.create(working_folder=tmp_path, session_name="a", hparams={}))
    kernel, bias, out_kernel, out_bias = (
        average.numpy().astype(np.float64) for average in weights_averaging.averages(estimator.model.optimizer))
    x = np.random.default_rng(1).normal(size=[20, 3]).astype(np.float32)
    expected = np.tanh((x * 0.5) @ kernel + bias) @ out_kernel + out_bias
    np.testing.assert_allclose(estimator.predict(x)["prediction"], expected, rtol=0.01, atol=0.02)
