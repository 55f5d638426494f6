"""Metrics with an entry for each class, accuracy by name and metric objects measure what Keras does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman.errors import UserCodeError
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from tests.support.settings_files import line_of, write_experiment

CLASSES = [("n_outputs = 1", "n_outputs = 3"),
           ("y = slope * x.sum(axis=1, keepdims=True) + 1", "y = np.digitize(x.sum(axis=1), [-1, 1])"),
           ("return tf.reduce_mean(tf.square(predictions - labels))",
            "return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, predictions)")]
METRICS = ('{"mae": tf.reduce_mean(tf.abs(predictions - labels)),\n'
           '            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}')
MEASURED = ('{"acc": ("accuracy", labels, predictions),\n'
            '            "f1": (keras.metrics.F1Score, tf.one_hot(labels, 3), tf.nn.softmax(predictions)),\n'
            '            "top": (TOP, labels, predictions)}')


@pytest.mark.parametrize("names", [["low", "middle", "high"], []])
def test_metrics_of_classes_are_those_of_keras(tmp_path, names):
    named = ("served_head", f"reference_labels = {names}\nserved_head")
    top = ("n_outputs = 1", "TOP = keras.metrics.SparseTopKCategoricalAccuracy(k=2)\nn_outputs = 1")
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, top, *CLASSES, (METRICS, MEASURED), named)))
    x = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32)
    labels = np.digitize(x.sum(axis=1), [-1, 1])
    logits = estimator.predict(x)["prediction"]
    f1 = keras.metrics.F1Score()
    f1.update_state(tf.one_hot(labels, 3), tf.nn.softmax(logits))
    top = np.mean([label in row.argsort()[-2:] for label, row in zip(labels, logits)])
    expected = {"acc": np.mean(logits.argmax(axis=1) == labels), "top": top,
                **{f"f1/{name}": value for name, value in zip(names or range(3), f1.result().numpy())}}
    measured = estimator.evaluate()
    assert list(measured) == ["loss", "acc", *(f"f1/{name}" for name in names or range(3)), "top"]
    assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("old", "new", "function"), [
    (METRICS, "None", "get_eval_metric_ops"), (METRICS, "{'a': None}", "get_eval_metric_ops"),
    (METRICS, "{'a': keras.metrics.F1Score()(labels, predictions)}", "get_eval_metric_ops"),
    (METRICS, "{'a': (keras.metrics.F1Score, labels)}", "get_eval_metric_ops"),
    (METRICS, "{'a': ('no_such_metric', labels, predictions)}", "get_eval_metric_ops"),
    ("return tf.reduce_mean(tf.square(predictions - labels))", "return None", "get_total_loss"),
    ("return tf.reduce_mean(tf.square(predictions - labels))", "return 'mse'", "get_total_loss")])
def test_odd_returned_values_are_told_with_the_place_of_the_function(tmp_path, old, new, function):
    file = write_experiment(tmp_path, (old, new))
    with pytest.raises(UserCodeError) as raised:
        Estimator(settings=load_settings(file))
    assert f"mysettings.py:{line_of(file, f'def {function}')}: " in str(raised.value)
