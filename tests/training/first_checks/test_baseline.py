"""Baselines of `baseline = True`, against scikit-learn: told, recorded, without effect on the training."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, root_mean_squared_error
from sklearn.preprocessing import StandardScaler

import experiments_manager
from expman.records.experiment_folder import ExperimentFolder
from tests.support.settings_files import MODEL, write_experiment
from tests.support.training_runs import read_metrics, untimed

SHORT = ("nbEpoch = 2", "nbEpoch = 2\nbaseline = True")
CLASSES = (
    ("n_outputs = 1", "n_outputs = 3"), ("return features * 0.5", "return features"),
    ("    return tf.reduce_mean(tf.square(predictions - labels))",
     "    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, predictions, from_logits=LOGITS))"),
    ("""    return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),
            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}""",
     """    return {"accuracy": (keras.metrics.SparseCategoricalAccuracy, labels, predictions)}"""),
    ("    x = np.random.default_rng(0 if raw_data_files_folder == \"train\" else 1).normal(size=[90, 3]).astype(np.float32)\n"
     "    y = slope * x.sum(axis=1, keepdims=True) + 1\n",
     "    from sklearn.datasets import load_iris\n    x, y = load_iris(return_X_y=True)\n"
     "    part = slice(0, None, 2) if raw_data_files_folder == \"train\" else slice(1, 60, 2)\n"
     "    x, y = x[part].astype(np.float32), y[part]\n"),
    ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None, 4], tf.float32)"))


def baselines_of(result: dict) -> dict:
    return ExperimentFolder(result["sessionFolder"]).read_identity()["baseline"]


def test_of_numbers_they_are_the_mean_and_linear_regression_and_change_nothing_of_the_training(tmp_path, capsys):
    """The small experiment's data with a curve in it, so that a line is not all."""
    curve = ("y = slope * x.sum(axis=1, keepdims=True) + 1", "y = slope * x.sum(axis=1, keepdims=True) ** 2 + x[:, :1]")
    (tmp_path / "on").mkdir()
    (tmp_path / "off").mkdir()
    told = experiments_manager.run(write_experiment(tmp_path / "on", SHORT, curve))
    printed = capsys.readouterr().out
    plain = experiments_manager.run(write_experiment(tmp_path / "off", curve))
    assert untimed(read_metrics(told["sessionFolder"])) == untimed(read_metrics(plain["sessionFolder"]))
    assert "baseline" not in ExperimentFolder(plain["sessionFolder"]).read_identity()

    (x, y), (x_val, y_val) = ((x, 2 * x.sum(axis=1) ** 2 + x[:, 0]) for x in (
        np.random.default_rng(seed).normal(size=[90, 3]).astype(np.float32) for seed in (0, 1)))
    baselines = baselines_of(told)
    line = LinearRegression().fit(x, y).predict(x_val)
    for name, answers in (("constant", np.full(90, y.mean())), ("linear", line)):
        assert baselines[name] == {"loss": pytest.approx(np.mean((answers - y_val) ** 2), rel=0.01),
                                   "rmse": pytest.approx(root_mean_squared_error(y_val, answers), rel=0.01),
                                   "mae": pytest.approx(mean_absolute_error(y_val, answers), rel=0.01)}
    assert f"baseline, constant answer (mean or majority): val_loss {baselines['constant']['loss']:.4g} val_" in printed
    assert printed.index("baseline, linear model") < printed.index("epoch 1/2")


@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_of_classes_they_are_the_majority_and_logistic_regression(tmp_path, activation):
    model = MODEL.replace("Dense(n_outputs)", f"Dense(n_outputs, activation='{activation}')")
    replacements = [(old, new.replace("LOGITS", str(activation == "linear"))) for old, new in CLASSES]
    baselines = baselines_of(experiments_manager.run(write_experiment(tmp_path, SHORT, *replacements, model=model)))

    x, y = load_iris(return_X_y=True)
    scaler = StandardScaler().fit(x[::2])
    known, unknown, truth = scaler.transform(x[::2]), scaler.transform(x[1:60:2]), y[1:60:2]
    logistic = LogisticRegression(max_iter=1000, tol=1e-8).fit(known, y[::2]).predict_proba(unknown)
    assert baselines["linear"] == {"loss": pytest.approx(log_loss(truth, logistic, labels=[0, 1, 2]), rel=0.01),
                                   "accuracy": pytest.approx(accuracy_score(truth, logistic.argmax(axis=1)))}
    frequencies = np.tile(np.bincount(y[::2]) / 75, [30, 1])
    assert baselines["constant"]["loss"] == pytest.approx(log_loss(truth, frequencies, labels=[0, 1, 2]), rel=0.01)
    assert baselines["num_train_samples"] == 75 and baselines["num_val_samples"] == 30


@pytest.mark.parametrize(("replacements", "model", "reason"), [
    ([("def get_total_loss(predictions, labels):\n    return tf.reduce_mean(tf.square(predictions - labels))",
       "def get_total_loss(model_outputs_dict, labels):\n"
       "    return tf.reduce_mean(tf.square(model_outputs_dict['prediction'] - labels)) + "
       "0.0 * tf.reduce_sum(model_outputs_dict['code'])")], MODEL,
     "loss and metrics cannot be computed from the output 'prediction' alone"),
    ([("y = slope * x.sum(axis=1, keepdims=True) + 1", "y = slope * x.sum(axis=1)[:, None, None] + 1")],
     MODEL.replace("keras.layers.Dense(n_outputs)(hidden)",
                   "keras.layers.Reshape([n_outputs, 1])(keras.layers.Dense(n_outputs)(hidden))"),
     "the output 'prediction' has the shape (None, 1, 1); baselines are for vectors")])
def test_where_there_is_none_the_reason_is_told_and_training_goes_on(tmp_path, caplog, replacements, model, reason):
    with caplog.at_level(logging.WARNING):
        result = experiments_manager.run(write_experiment(tmp_path, SHORT, *replacements, model=model))
    assert f"baseline = True has no effect: {reason}" in caplog.text
    assert result["global_step"] == 12
    assert "baseline" not in ExperimentFolder(result["sessionFolder"]).read_identity()


def test_of_inputs_that_stand_for_words_there_is_only_the_constant(tmp_path):
    model = MODEL.replace("(data)", "(keras.layers.Flatten()(keras.layers.Embedding(10, 4)(data)))")
    result = experiments_manager.run(write_experiment(
        tmp_path, SHORT, ("return features * 0.5", "return tf.cast(tf.clip_by_value(features * 2 + 5, 0, 9), tf.int32)"), model=model))
    baselines = baselines_of(result)
    assert "linear" not in baselines
    y, y_val = (2 * np.random.default_rng(seed).normal(size=[90, 3]).astype(np.float32).sum(axis=1) + 1 for seed in (0, 1))
    assert baselines["constant"]["rmse"] == pytest.approx(root_mean_squared_error(y_val, np.full(90, y.mean())), rel=1e-3)


def test_the_output_with_a_number_for_each_class_is_meant_when_another_is_served(tmp_path):
    """Served are probabilities, which are made of the logits afterwards."""
    replacements = [(old, new.replace("LOGITS", "True")) for old, new in CLASSES]
    of_logits = ("(predictions, labels):\n", "(model_outputs_dict, labels):\n    predictions = model_outputs_dict['logits']\n")
    served = ('served_head = "prediction"', 'served_head = "probabilities"')
    result = experiments_manager.run(write_experiment(
        tmp_path, SHORT, *replacements, of_logits, served, model=MODEL.replace('"prediction"', '"logits"'),
        added="\n\ndef model_outputs_postprocessing_for_serving(model_outputs_dict):\n"
              "    return {'probabilities': tf.nn.softmax(model_outputs_dict['logits'])}\n"))
    x, y = load_iris(return_X_y=True)
    expected = LogisticRegression(max_iter=1000).fit(StandardScaler().fit(x[::2]).transform(x[::2]), y[::2]).predict_proba(
        StandardScaler().fit(x[::2]).transform(x[1:60:2]))
    assert baselines_of(result)["linear"]["loss"] == pytest.approx(log_loss(y[1:60:2], expected, labels=[0, 1, 2]), rel=0.02)


def test_weights_of_samples_count_in_the_fit_as_they_do_in_the_measure(tmp_path):
    data = ("    return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)",
            "    w = np.where(x[:, 0] > 0, 5.0, 0.1).astype(np.float32)\n"
            "    y = (y + 3 * (x[:, :1] > 0)).astype(np.float32)\n"
            "    dataset = tf.data.Dataset.from_tensor_slices((x, y, w))\n"
            "    return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)")
    loss = ("def get_total_loss(predictions, labels):\n    return tf.reduce_mean(tf.square(predictions - labels))\n",
            'get_total_loss = "mse"\n')
    baselines = baselines_of(experiments_manager.run(write_experiment(tmp_path, SHORT, data, loss)))
    (x, y, w), (x_val, y_val, w_val) = (_weighted(seed) for seed in (0, 1))
    scaler = StandardScaler().fit(x)
    linear = Ridge(alpha=0.5).fit(scaler.transform(x), y, sample_weight=w)
    errors = linear.predict(scaler.transform(x_val)) - y_val
    assert baselines["linear"]["loss"] == pytest.approx(np.mean(w_val * errors ** 2), rel=1e-3)
    mean = np.average(y, weights=w)
    assert baselines["constant"]["loss"] == pytest.approx(np.mean(w_val * (mean - y_val) ** 2), rel=1e-3)


def _weighted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=[90, 3]).astype(np.float32)
    return x, 2 * x.sum(axis=1) + 1 + 3 * (x[:, 0] > 0), np.where(x[:, 0] > 0, 5.0, 0.1)
