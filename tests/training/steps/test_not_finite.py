"""A loss or gradient that is not finite ends the training at once, and says where that began."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman import experiment_run
from expman.errors import TrainingError
from expman.training.callbacks.stop_on_nan_loss import StopOnNanLoss
from expman.training.progress import TrainingProgress
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
LOSS = "return tf.reduce_mean(tf.square(predictions - labels))"


def poisoned(value: str) -> tuple[str, str]:
    """Makes the batch of step 9 bad, the third of the second epoch: by a draw from the generator that each epoch seeds."""
    third_draw = np.random.RandomState(42 + 1).randint(10**6, size=3)[2]
    return (PIPELINE, f"""
    def poison(x):
        return np.where(shuffle_batches and np.random.randint(10**6) == {third_draw}, {value}, x)

    dataset = dataset.batch(batch_size).map(lambda x, y: (tf.numpy_function(poison, [x], tf.float32), y))
    return dataset.map(lambda x, y: (tf.ensure_shape(x, [None, 3]), y))""")


def failed_training(folder: Path, *replacements, added: str = "", model: str | None = None) -> tuple[str, Path]:
    options = {} if model is None else {"model": model}
    file = write_experiment(folder, ("nbEpoch = 2", "nbEpoch = 3"), *replacements, added=added, **options)
    with pytest.raises(TrainingError) as error:
        experiments_manager.run(file)
    return str(error.value), next((folder / "experiments").iterdir())


def newest_weights(experiment: Path) -> list[np.ndarray]:
    newest = sorted((experiment / "checkpoints").glob("step-*"))[-1]
    reader = tf.train.load_checkpoint(str(newest / "variables"))
    return [reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "network" in name]


@pytest.mark.parametrize("value", ["np.float32('nan')", "np.float32('inf')"])
def test_bad_data_are_named_with_step_and_range(tmp_path, value):
    message, experiment = failed_training(tmp_path, poisoned(value))
    assert message.startswith("Training failed in step 9, epoch 2: the loss or its gradient is not finite.")
    assert "The first tensor that is not finite: features." in message
    assert "labels from -" in message
    state = json.loads((experiment / "state.json").read_text())
    assert state["status"] == "failed" and state["epoch"] == 1 and "step 9" in state["stop_reason"]
    assert all(np.isfinite(weights).all() for weights in newest_weights(experiment))
    assert len(read_metrics(experiment)) == 1


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("return features * 0.5", "return tf.math.log(features - 1000.0)", "preprocessed features"),
    (LOSS, "return tf.reduce_mean(tf.square(predictions - labels)) * tf.math.log(-1.0)", "the loss"),
    (LOSS, "return tf.reduce_mean(tf.sqrt(tf.abs(predictions - predictions)))", "gradient of")])
def test_the_first_bad_tensor_is_found_along_the_computation(tmp_path, old, new, expected):
    message, _experiment = failed_training(tmp_path, (old, new))
    assert f"The first tensor that is not finite: {expected}" in message
    assert "in step 1, epoch 1" in message
    assert "features from -" in message and " to " in message


def test_with_xla_the_training_stops_too(tmp_path):
    message, _ = failed_training(tmp_path, poisoned("np.float32('nan')"), added="\nuseXLA = True\n")
    assert "Training failed at step 9 or just before, epoch 2: the loss is not finite" in message


def test_the_watch_for_graphs_without_assertions_stops_at_the_first_bad_loss():
    watch = StopOnNanLoss(progress=TrainingProgress(step=9, epoch=1))
    watch.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(TrainingError, match="at step 9 or just before, epoch 2: the loss is not finite"):
        watch.on_train_batch_end(1, {"loss": float("nan")})


def test_after_the_data_are_mended_the_training_restarts_from_the_last_good_checkpoint(tmp_path):
    _, experiment = failed_training(tmp_path, poisoned("np.float32('nan')"))
    settings = experiment / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("shuffle_batches and np.random", "False and np.random"))
    result = experiment_run.restart(str(experiment))
    assert np.isfinite(result["loss"]) and result["global_step"] == 18
