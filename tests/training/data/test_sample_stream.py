"""Training data that go on from epoch to epoch, as Keras' `fit(steps_per_epoch=…)` reads them, over restarts and kills too."""

from __future__ import annotations

import collections
import itertools
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from expman import experiment_run
from expman.settings.loading import load_settings
from expman.training.data.input_data import InputData
from tests.support.settings_files import write_experiment
from tests.support.training_runs import killed_within_an_epoch_and_restarted, read_metrics, start, untimed

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"

# The samples are numbered; the endless ones draw noise from NumPy's global generator, which is seeded anew in each epoch.
FROM_GENERATOR = '''if not shuffle_batches:
        return dataset.batch(batch_size)

    def endless():
        number = 0
        while True:
            yield np.full([3], number, np.float32) / 500, np.full([1], number, np.float32) / 100
            number += 1

    signature = tf.TensorSpec([3], tf.float32), tf.TensorSpec([1], tf.float32)
    return tf.data.Dataset.from_generator(endless, output_signature=signature).batch(batch_size)'''
NUMPY_FUNCTION = '''if not shuffle_batches:
        return dataset.batch(batch_size)

    def noisy(x):
        return x + np.random.normal(0, 0.1, x.shape).astype(np.float32)

    dataset = dataset.map(lambda x, y: (tf.ensure_shape(tf.numpy_function(noisy, [x], tf.float32), [3]), y))
    return dataset.shuffle(20).repeat().batch(batch_size).prefetch(tf.data.AUTOTUNE)'''
STREAMS = {
    "shuffled, longer": (PIPELINE, "nb_train_samples = 40"),
    "shuffled, shorter": (PIPELINE, "nb_train_samples = 200"),
    "repeated": (PIPELINE.replace("dataset.shuffle(90)", "dataset.shuffle(30).repeat()"), "nb_train_samples = 80"),
    "random ops": (PIPELINE.replace("dataset.shuffle(90)", "dataset.map(lambda x, y: (x + tf.random.normal([3]), y)).shuffle(9)"),
                   "nb_train_samples = 80"),
    "from_generator": (FROM_GENERATOR, "nb_train_samples = 80"),
    "numpy_function": (NUMPY_FUNCTION, "nb_train_samples = 80")}


SLOW_STEPS = '''

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        import time
        time.sleep(0.1)


def addon_callbacks():
    return [Slow()]
'''


def experiment(folder: Path, stream: str, *further: tuple[str, str], num_epochs: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    pipeline, samples = STREAMS[stream]
    return write_experiment(folder, (PIPELINE, pipeline), ("nbEpoch = 2", f"nbEpoch = {num_epochs}\n{samples}"), *further)


def numbers(data: InputData, *, passes: int) -> list[list[int]]:
    return [[round(float(y) * 100) for _, labels in data.dataset for y in labels[:, 0]] for _ in range(passes)]


def test_each_epoch_has_the_next_samples_of_an_endless_generator(tmp_path):
    data = InputData(load_settings(experiment(tmp_path, "from_generator")), for_training=True)
    assert data.steps_per_epoch == 5
    np.testing.assert_array_equal(numbers(data, passes=3), np.arange(240).reshape(3, 80))


def test_data_shorter_than_an_epoch_are_repeated_in_another_order_and_none_is_favoured(tmp_path):
    data = InputData(load_settings(experiment(tmp_path, "shuffled, shorter")), for_training=True)
    batches = [y.numpy() for _ in range(6) for _, y in data.dataset]
    assert len(batches) == 6 * 13  # ceil(200 / 16), of which a pass over 90 samples has 6
    rounds = [np.concatenate(batches[start:start + 6])[:, 0] for start in range(0, len(batches), 6)]
    for one, other in itertools.pairwise(rounds):
        np.testing.assert_array_equal(np.sort(one), np.sort(other))
        assert (one != other).any()


@pytest.mark.slow
def test_the_weights_are_those_of_keras_fit_with_steps_per_epoch(tmp_path):
    from expman.training.estimator import Estimator
    settings = load_settings(experiment(tmp_path, "from_generator", num_epochs=3))
    estimator = Estimator(settings=settings)
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(8, activation="tanh")(inputs)
    plain = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    plain.set_weights(estimator.model.network.get_weights())
    plain.compile(keras.optimizers.Adam(0.05), "mse")
    stream = settings.call("get_input_pipeline_train_val", batch_size=16, raw_data_files_folder="train", shuffle_batches=True)
    losses = plain.fit(stream.map(lambda x, y: (x * 0.5, y)), steps_per_epoch=5, epochs=3, verbose=0).history["loss"]
    folder = experiment_run.train(settings.file)["sessionFolder"]
    np.testing.assert_allclose([float(row["loss"]) for row in read_metrics(folder)], losses, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stream", STREAMS)
def test_a_restart_goes_on_within_the_stream(tmp_path, stream):
    whole = experiment_run.train(experiment(tmp_path / "whole", stream, num_epochs=4))["sessionFolder"]
    parts = experiment_run.train(experiment(tmp_path / "parts", stream))["sessionFolder"]
    experiment_run.restart(parts, num_epochs=4)
    assert untimed(read_metrics(parts)) == untimed(read_metrics(whole))


@pytest.mark.parametrize("stream", ["shuffled, longer", "from_generator", "numpy_function"])
@pytest.mark.slow
def test_a_killed_process_goes_on_within_the_stream_and_within_the_epoch(tmp_path, stream):
    often = ("steps_per_execution = 1", "steps_per_execution = 1\ncheckpoint_every_seconds = 0.01")
    whole = experiment_run.train(experiment(tmp_path / "whole", stream, num_epochs=6))["sessionFolder"]
    file = experiment(tmp_path / "parts", stream, often, num_epochs=6)
    file.write_text(file.read_text() + SLOW_STEPS)
    process = start(file)
    folder, told = killed_within_an_epoch_and_restarted(tmp_path / "parts" / "experiments", process)
    assert "are read again from their start, 2 passes" in told
    assert untimed(read_metrics(folder)) == untimed(read_metrics(whole))


@pytest.mark.parametrize(("ending", "expected"), [
    ("batch(16).prefetch(9)", (48, 90, 138)),  # the last batch of the 90 samples has 10
    ("prefetch(40).repeat().batch(16).prefetch(9)", (48, 96, 144))])
def test_nothing_is_read_ahead_of_an_epoch_so_that_its_draws_are_its_own(tmp_path, ending, expected):
    pipeline = PIPELINE.replace("(dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)", (
        "dataset.map(lambda x, y: (tf.ensure_shape(tf.numpy_function(lambda z: read.append(1) or z, [x], tf.float32), [3]), y))."
        + ending))
    file = write_experiment(tmp_path, (PIPELINE, pipeline), ("nbEpoch = 2", "nbEpoch = 2\nread = []\nnb_train_samples = 48"))
    settings = load_settings(file)
    data = InputData(settings, for_training=True)
    read = settings.functions["get_input_pipeline_train_val"].__globals__["read"]
    read.clear()
    for num_samples in expected:
        collections.deque(data.dataset, maxlen=0)
        time.sleep(0.2)
        assert len(read) == num_samples


@pytest.mark.slow
def test_a_repeated_shuffle_within_a_pass_is_read_again(tmp_path):
    (tmp_path / "whole").mkdir(), (tmp_path / "parts").mkdir()
    twice = ("dataset.shuffle(90) if shuffle_batches", "dataset.shuffle(90).repeat(2) if shuffle_batches")
    whole = experiment_run.train(write_experiment(tmp_path / "whole", twice, ("nbEpoch = 2", "nbEpoch = 3")))["sessionFolder"]
    parts = experiment_run.train(write_experiment(tmp_path / "parts", twice))["sessionFolder"]
    experiment_run.restart(parts, num_epochs=3)
    assert untimed(read_metrics(parts)) == untimed(read_metrics(whole))


@pytest.mark.slow
def test_ctrl_c_ends_the_counting_of_data_that_never_end(tmp_path):
    decay = ("nb_train_samples = 80", "num_epochs_per_decay = 1\nlearning_rate_decay_factor = 0.5")
    process = start(experiment(tmp_path, "from_generator", decay))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "are being counted" in line:
            process.send_signal(signal.SIGINT)
        if len(lines) > 30:
            process.kill()
    assert process.wait(timeout=60) == 130, lines
    assert "Set nb_train_samples to say how many samples an epoch has" in "".join(lines)
    assert not (tmp_path / "experiments").exists()
