"""`class_weights`: the numbers of Keras' fit(class_weight=…) and of scikit-learn, restarted, accumulated; misuse is told before."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

import experiments_manager
from expman import experiment_run
from expman.cli.commands.check import check
from expman.errors import ExperimentError, TrainingError, UserCodeError
from expman.settings.loading import load_settings
from expman.training.data import class_weights
from expman.training.data.input_data import InputData
from expman.training.data.labels_of_classes import weighted
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics, untimed

WEIGHTS = {0: 1.0, 1: 2.5, 2: 0.25}
OWN_LOSS = ("def get_total_loss(predictions, labels, sample_weights):\n    return tf.reduce_mean(sample_weights * "
            "keras.losses.sparse_categorical_crossentropy(labels, predictions, from_logits=True))")
KERAS_LOSS = "get_total_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
LABELS = "    y = np.digitize(x.sum(axis=1), [0.5, 2.5]).astype(np.int32)\n"
TRIPLES = ("from_tensor_slices((x, y))",
           "from_tensor_slices((x, y, np.random.default_rng(2).uniform(0, 3, 90).astype(np.float32)))")
INTERRUPTED_ONCE = '''\
checkpoint_every_seconds = 0.000001


class _InterruptBetweenUpdates(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer._iterations) == 15:  # steps, not updates
            raise KeyboardInterrupt


def addon_callbacks():
    return [] if tf.io.gfile.exists(workingFolder + "/over") else [_InterruptBetweenUpdates()]
'''
MODEL = '''\
import keras


def model(data, n_outputs):
    return {"prediction": keras.layers.Dense(n_outputs, kernel_initializer=keras.initializers.GlorotUniform(seed=3))(data)}
'''


def write(folder: Path, *replacements: tuple[str, str], weights: object, added: str = "", labels: str = LABELS,
          loss: str = KERAS_LOSS) -> Path:
    folder.mkdir(exist_ok=True)
    return write_experiment(
        folder, ("n_outputs = 1", "n_outputs = 3"), ("    y = slope * x.sum(axis=1, keepdims=True) + 1\n", labels),
        ("def get_total_loss(predictions, labels):\n    return tf.reduce_mean(tf.square(predictions - labels))", loss),
        ("""    return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),
            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}""",
         '    return {"accuracy": ("accuracy", labels, predictions)}'),
        *replacements, added=f"\nclass_weights = {weights!r}\npredict_using_smoothed_parameters = False\n{added}", model=MODEL)


NOT_SHUFFLED = ("(dataset.shuffle(90) if shuffle_batches else dataset)", "dataset")


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=[90, 3]).astype(np.float32)
    return x * 0.5, np.digitize(x.sum(axis=1), [0.5, 2.5])


def fitted_by_keras(*, weights: dict[int, float] | None = None, sample_weight: np.ndarray | None = None, accumulated: int = 1
                    ) -> tuple[list[float], list[float]]:
    """The losses of two epochs, and loss and accuracy on the validation data, which weighs all samples alike."""
    network = keras.Sequential([
        keras.Input([3]), keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=3))])
    network.compile(keras.optimizers.Adam(0.05, gradient_accumulation_steps=accumulated if accumulated > 1 else None),
                    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x, y = data(0)
    losses = network.fit(x, y, class_weight=weights, sample_weight=sample_weight, batch_size=16, epochs=2, shuffle=False,
                         verbose=0).history["loss"]
    return losses, network.evaluate(*data(1), batch_size=16, verbose=0)


def assert_as_keras(result: dict, expected: tuple[list[float], list[float]]) -> None:
    rows = read_metrics(result["sessionFolder"])
    np.testing.assert_allclose([float(row["loss"]) for row in rows], expected[0], rtol=1e-5)
    np.testing.assert_allclose([float(rows[-1][name]) for name in ("val_loss", "val_accuracy")], expected[1], rtol=1e-5)


@pytest.mark.parametrize(("changes", "accumulated"), [
    ({}, 1), ({"loss": OWN_LOSS}, 1), ({"labels": LABELS + "    y = y[:, np.newaxis]\n"}, 1),
    ({"labels": LABELS + "    y = np.eye(3, dtype=np.float32)[y]\n",
      "loss": "get_total_loss = keras.losses.CategoricalCrossentropy(from_logits=True)"}, 1),
    ({"added": "gradient_accumulation_steps = 2\n"}, 2),
], ids=["loss of Keras", "own loss", "labels [batch, 1]", "one-hot", "accumulated"])
def test_a_training_is_that_of_keras_with_class_weight(tmp_path, changes, accumulated):
    result = experiments_manager.run(write(tmp_path, NOT_SHUFFLED, weights=WEIGHTS, **changes))
    assert_as_keras(result, fitted_by_keras(weights=WEIGHTS, accumulated=accumulated))


def test_weights_of_classes_multiply_those_of_samples(tmp_path):
    result = experiments_manager.run(write(tmp_path, NOT_SHUFFLED, TRIPLES, weights=WEIGHTS))
    given = np.random.default_rng(2).uniform(0, 3, 90).astype(np.float32)
    losses, _ = fitted_by_keras(sample_weight=given * np.array(list(WEIGHTS.values()), np.float32)[data(0)[1]])
    np.testing.assert_allclose([float(row["loss"]) for row in read_metrics(result["sessionFolder"])], losses, rtol=1e-5)


@pytest.mark.slow
def test_balanced_is_as_scikit_learn_has_it_and_a_restart_goes_on_with_it_to_the_bit(tmp_path, caplog):
    """With weights of samples, too, and gradients accumulated over two steps; killed between two updates."""
    caplog.set_level("INFO", "expman")
    options = {"weights": "balanced", "added": "gradient_accumulation_steps = 2\n"}
    three_epochs = ("nbEpoch = 2", "nbEpoch = 3")
    whole = experiments_manager.run(write(tmp_path / "whole", TRIPLES, three_epochs, **options))
    classes = data(0)[1]
    expected = compute_class_weight("balanced", classes=np.unique(classes), y=classes)
    recorded = json.loads((Path(whole["sessionFolder"]) / "experiment.json").read_text())["class_weights"]
    assert recorded == {str(label): weight for label, weight in enumerate(expected.tolist())}
    assert f"class_weights = 'balanced': 0: {expected[0]:.4g} ({np.sum(classes == 0)} labels), 1:" in caplog.text

    interrupted = write(tmp_path / "interrupted", TRIPLES, three_epochs, weights="balanced",
                        added=options["added"] + INTERRUPTED_ONCE)
    with pytest.raises(KeyboardInterrupt):
        experiments_manager.run(interrupted)
    (folder,) = (tmp_path / "interrupted" / "experiments").glob("line*")
    (tmp_path / "interrupted" / "experiments" / "over").touch()
    caplog.clear()
    experiment_run.restart(folder)
    assert "class_weights" not in caplog.text  # nothing is counted again
    assert untimed(read_metrics(folder)) == untimed(read_metrics(whole["sessionFolder"]))


@pytest.mark.parametrize("given_shape", [None, [6], [6, 1], [6, 2, 2]])
@pytest.mark.parametrize("label_shape", [[6], [6, 1], [6, 2, 2], [6, 2, 2, 1]])
def test_each_label_has_the_weight_of_its_class(label_shape, given_shape):
    classes = np.random.default_rng(0).choice([-1, 3, 255], size=label_shape)
    table = {255: 0.0, -1: 0.5, 3: 4.0}
    parts = [np.zeros([6, 5], np.float32), classes]
    own = np.vectorize(table.get)(classes)
    own = own[..., 0] if label_shape[-1] == 1 else own
    given = np.random.default_rng(1).uniform(size=given_shape or [6]).astype(np.float32)
    if given_shape:
        parts.append(given)
        rank = max(own.ndim, given.ndim)
        own = own.reshape(own.shape + (1,) * (rank - own.ndim)) * given.reshape(given.shape + (1,) * (rank - given.ndim))
    ((_, _, found),) = weighted(tf.data.Dataset.from_tensors(tuple(parts)), table)
    np.testing.assert_allclose(found, own, rtol=1e-6)


@pytest.mark.parametrize(("changes", "message"), [
    ({"weights": {0: 1.0, 1: 2.0}}, "no weight for classes of the training data: 2: .* labels. It has those of 0, 1"),
    ({"weights": "balanced", "loss": OWN_LOSS.replace("predictions, labels, sample_weights", "predictions, labels").replace(
        "sample_weights *", "")}, "get_total_loss does not declare sample_weights"),
    ({"weights": "balanced", "labels": LABELS.replace("int32", "float32")},
     r"Got float32 of shape \(16,\). Cast classes to integers"),
    ({"weights": "balanced", "labels": LABELS + "    y = np.eye(3, dtype=np.float32)[y] * 0.8\n"}, "rows with one 1 and zeros"),
    ({"weights": "balanced", "labels": LABELS + "    y = np.eye(3, dtype=np.int32)[y]\n"}, "integers of one-hot rows"),
    ({"weights": "balanced", "labels": LABELS + "    y = y.astype(str)\n"}, "Got string of shape"),
    ({"weights": "balanced", "labels": LABELS + "    y = {'a': y}\n"}, "one dense tensor. Got dict"),
    ({"weights": WEIGHTS, "labels": LABELS + "    y = y[:, np.newaxis]\n", "loss": OWN_LOSS.replace(
        "from_logits=True)", "from_logits=True)[:, tf.newaxis]")}, "same whichever sample has which"),
], ids=["missing", "not declared", "float", "soft", "one-hot integers", "text", "dict", "broadcast"])
def test_misuse_is_told_before_training(tmp_path, changes, message):
    settings = load_settings(write(tmp_path, **changes))
    with pytest.raises(UserCodeError, match=message):
        Estimator(settings=settings)


@pytest.mark.parametrize("weights", ["balance", {0: -1.0}, {0: 0.0, 1: 0}, {"0": 1.0}, {True: 1.0}, {}, [1.0, 2.0],
                                     {0: float("nan")}])
def test_what_is_no_weight_of_a_class_is_told_with_the_line(tmp_path, weights):
    file = write(tmp_path, weights=weights)
    file.write_text(file.read_text().replace("nan", "float('nan')"))
    with pytest.raises(ExperimentError, match=r"mysettings.py:\d+: class_weights must be 'balanced', or a dict from classes"):
        load_settings(file)


def test_weights_may_have_keys_and_values_of_numpy(tmp_path):
    values = "dict(zip(np.arange(3), np.array([1.0, 2.5, 0.25])))"
    file = write(tmp_path, weights="HERE")
    file.write_text(file.read_text().replace("'HERE'", values))
    recorded = load_settings(file).class_weights
    assert recorded == WEIGHTS and json.dumps(recorded) == '{"0": 1.0, "1": 2.5, "2": 0.25}'


def test_weights_of_classes_that_do_not_occur_are_told(tmp_path, caplog):
    Estimator(settings=load_settings(write(tmp_path, weights={**WEIGHTS, 7: 1.0})))
    assert "class_weights names classes that no training label has: 7." in caplog.text


def test_a_late_label_without_a_weight_ends_the_training_with_its_class(tmp_path, monkeypatch):
    monkeypatch.setattr(class_weights, "_MOST_SAMPLES", 16)
    file = write(tmp_path, NOT_SHUFFLED, weights=WEIGHTS, labels=f"{LABELS}    y[70] = 9\n")
    with pytest.raises(TrainingError, match=r"(?s)Training failed in step .*class_weights has no weight for these labels.*\[9\]"):
        experiments_manager.run(file)


def test_validation_samples_weigh_alike(tmp_path):
    settings = Estimator(settings=load_settings(write(tmp_path, weights="balanced"))).settings
    weights = np.concatenate([batch[2].numpy() for batch in InputData(settings, for_training=False).dataset])
    np.testing.assert_array_equal(weights, np.ones(90, np.float32))


@pytest.mark.slow
def test_a_dry_run_weighs_once(tmp_path, capsys):
    assert check(write(tmp_path, TRIPLES, weights="balanced"))
    assert "passed" in capsys.readouterr().out
