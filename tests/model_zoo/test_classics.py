"""The multi-layer perceptron and the small CNN: sizes, parameters, learning and exports."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_zoo import mlp, small_cnn_classifier
from tests.support.model_zoo_checks import (
    assert_export_and_reload_answer_equally,
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("num_inputs", "num_outputs", "units", "layers"), [(1, 1, 32, 2), (7, 3, 5, 1), (4, 2, 16, 4)])
def test_mlp_has_the_shapes_and_parameters_of_its_formula(num_inputs, num_outputs, units, layers):
    network = build(mlp.model, [num_inputs], num_outputs, {"hiddenNeurons": units, "hiddenLayers": layers})
    assert output_shapes(network, noise(6, num_inputs)) == {"code": (6, units), "prediction": (6, num_outputs)}
    assert count_trainable(network) == (num_inputs + 1) * units + (layers - 1) * (units + 1) * units + (units + 1) * num_outputs


def test_mlp_computes_what_numpy_computes():
    network = build(mlp.model, [3], 2)
    hidden = x = noise(5, 3)
    *hidden_layers, last = [layer.get_weights() for layer in network.layers if layer.weights]
    for kernel, bias in hidden_layers:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    outputs = network(x)
    np.testing.assert_allclose(outputs["code"], hidden, atol=1e-5)
    np.testing.assert_allclose(outputs["prediction"], hidden @ last[0] + last[1], atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (13, 21)])
def test_the_small_cnn_takes_images_of_any_size(size):
    network = build(small_cnn_classifier.model, [None, None, 3], 5, {"filters": 4})
    assert output_shapes(network, noise(2, *size, 3)) == {"code": (2, 8), "logits": (2, 5)}


def test_the_small_cnn_has_the_parameters_of_the_docstring():
    convolutions = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    normalisations = 2 * (32 + 32 + 64 + 64)
    assert convolutions + normalisations + 65 * 10 == 65_834
    assert count_trainable(build(small_cnn_classifier.model, [8, 8, 1], 10)) == 65_834


def test_mlp_learns_and_survives_its_export(tmp_path):
    network, x, y = build(mlp.model, [3], 2), noise(8, 3), noise(8, 2)
    assert_one_step_lowers_the_loss(network, x, lambda outputs: tf.reduce_mean(tf.square(outputs["prediction"] - y)))
    assert_export_and_reload_answer_equally(network, x, tmp_path)


def test_the_small_cnn_learns_and_survives_its_export(tmp_path):
    network = build(small_cnn_classifier.model, [8, 8, 1], 4, {"filters": 8})
    images, classes = noise(8, 8, 8, 1), np.arange(8) % 4
    assert_one_step_lowers_the_loss(network, images, lambda outputs: tf.reduce_mean(
        keras.losses.sparse_categorical_crossentropy(classes, outputs["logits"], from_logits=True)))
    assert_export_and_reload_answer_equally(network, images, tmp_path)


@pytest.mark.parametrize(("module", "shape", "hparams", "message"), [
    (mlp, [3], {"hiddenNeurons": 0}, "hiddenNeurons"), (mlp, [3], {"hiddenLayers": 1.5}, "hiddenLayers"),
    (small_cnn_classifier, [8, 8, 1], {"filters": "8"}, "filters"),
    (small_cnn_classifier, [8, 8, 1], {"dropout": 1.0}, "dropout")])
def test_bad_hyperparameters_are_refused(module, shape, hparams, message):
    with pytest.raises(ValueError, match=message):
        build(module.model, shape, 2, hparams)
