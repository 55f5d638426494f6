"""A loss or metric that compares each prediction with the labels of all samples is refused before training."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import experiments_manager
from expman.errors import UserCodeError
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment

FLAT_LABELS = ("y = slope * x.sum(axis=1, keepdims=True) + 1", "y = slope * x.sum(axis=1) + 1")
METRICS = ('{"mae": tf.reduce_mean(tf.abs(predictions - labels)),\n'
           '            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}')
LOSS = "return tf.reduce_mean(tf.square(predictions - labels))"


def build(folder, *replacements, **files):
    return Estimator(settings=load_settings(write_experiment(folder, *replacements, **files)))


def folder(parent, name):
    (parent / name).mkdir()
    return parent / name


def test_labels_without_the_axis_of_the_predictions_are_refused_with_both_shapes_and_the_remedy(tmp_path):
    told = (r"the loss of get_total_loss .* \[16, 1\] and labels \[16\].*\[16, 16\].*labels\[:, tf.newaxis\]")
    with pytest.raises(UserCodeError, match=told):
        experiments_manager.run(write_experiment(tmp_path, FLAT_LABELS))
    assert not list(tmp_path.glob("**/experiment.json"))


def test_a_metric_alone_is_refused_too(tmp_path):
    with pytest.raises(UserCodeError, match=r"the metric 'mae' of get_eval_metric_ops"):
        build(tmp_path, FLAT_LABELS, (LOSS, "return tf.reduce_mean(tf.square(predictions[:, 0] - labels))"))


@pytest.mark.parametrize("loss", [
    "return tf.reduce_mean(tf.square(predictions[:, 0] - labels))",
    "return tf.reduce_mean(keras.losses.MeanSquaredError()(labels, predictions))",  # Keras squeezes
    "return tf.reduce_mean(tf.square(predictions))",  # needs no labels
    "return tf.reduce_mean(tf.square(predictions[:, 0] - labels) * tf.random.uniform([]))"])
def test_losses_that_pair_rightly_or_need_no_labels_are_taken_without_a_word(tmp_path, caplog, loss):
    with caplog.at_level(logging.WARNING):
        estimator = build(tmp_path, FLAT_LABELS, (LOSS, loss), (METRICS, "{}"))
    assert np.isfinite(estimator.evaluate()["loss"])
    assert "labels" not in caplog.text


def test_a_network_that_starts_with_the_same_answer_for_all_is_no_error(tmp_path):
    build(tmp_path, model="import keras\n\n\ndef model(data, n_outputs):\n"
          "    return {'prediction': keras.layers.Dense(n_outputs, kernel_initializer='zeros')(data)}\n")


def test_equal_shapes_that_are_combined_wrongly_are_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        build(tmp_path, (LOSS, "return tf.reduce_mean(tf.square(predictions - tf.transpose(labels)))"), (METRICS, "{}"))
    assert "depends on the labels, but not on which sample has which" in caplog.text


def test_one_of_several_labels_that_is_broadcast_is_refused_by_its_name(tmp_path):
    flat = FLAT_LABELS[0], "y = slope * x.sum(axis=1, keepdims=True) + 1\n    y = {'right': y, 'flat': y[:, 0]}"
    wrong = LOSS, ("return tf.reduce_mean(tf.square(predictions - labels['right'])) + "
                   "tf.reduce_mean(tf.square(model_outputs_dict['doubt'] - labels['flat']))")
    model = ("import keras\n\n\ndef model(data, n_outputs):\n    return {'prediction': keras.layers.Dense(n_outputs)(data),\n"
             "            'doubt': keras.layers.Dense(1)(data)}\n")
    declared = "def get_total_loss(predictions, labels)", "def get_total_loss(predictions, model_outputs_dict, labels)"
    told = r"output 'doubt', of shape \[16, 1\], .* labels\['flat'\], of shape \[16\]"
    with pytest.raises(UserCodeError, match=told):
        build(folder(tmp_path, "wrong"), flat, declared, wrong, (METRICS, "{}"), model=model)
    right = LOSS, wrong[1].replace("labels['flat']", "labels['flat'][:, None]")
    assert np.isfinite(build(folder(tmp_path, "right"), flat, declared, right, (METRICS, "{}"), model=model).evaluate()["loss"])


def test_a_metric_of_ones_own_function_that_broadcasts_is_refused_and_those_of_keras_are_not(tmp_path):
    loss = LOSS, "return tf.reduce_mean(tf.square(predictions[:, 0] - labels))"
    own = "lambda: keras.metrics.MeanMetricWrapper(lambda true, predicted: tf.square(true - predicted))"
    with pytest.raises(UserCodeError, match=r"the metric 'mse' .* y_pred has shape \[16, 1\] and y_true \[16\]"):
        build(folder(tmp_path, "own"), FLAT_LABELS, loss, (METRICS, f"{{'mse': ({own}, labels, predictions)}}"))
    metrics = METRICS, ("{'rmse': (keras.metrics.RootMeanSquaredError, labels, predictions),"
                        " 'binary': ('accuracy', labels, predictions)}")
    estimator = build(folder(tmp_path, "keras"), FLAT_LABELS, loss, metrics)
    measured = estimator.evaluate()
    assert measured["rmse"] == pytest.approx(measured["loss"] ** 0.5, rel=1e-5)


def test_an_accuracy_is_no_fault_while_the_network_answers_one_class_to_all(tmp_path, caplog):
    classes = FLAT_LABELS[0], "y = (x.sum(axis=1) > 0).astype(np.int64)"
    loss = LOSS, "return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, predictions)"
    metrics = METRICS, '{"accuracy": tf.reduce_mean(tf.cast(tf.argmax(predictions, -1) == labels, tf.float32))}'
    with caplog.at_level(logging.WARNING):
        build(tmp_path, classes, loss, metrics, model="import keras\n\n\ndef model(data):\n"
              "    return {'prediction': keras.layers.Dense(2, kernel_initializer='zeros')(data)}\n")
    assert "accuracy" not in caplog.text
