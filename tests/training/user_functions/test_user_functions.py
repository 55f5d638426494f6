"""Losses of Keras are taken as they are, and what the optional functions return is checked before training."""

from __future__ import annotations

import numpy as np
import pytest

import experiments_manager
from expman.cli.commands.check import check
from expman.errors import ExperimentError
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment

LOSS = '''def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))
'''


@pytest.mark.parametrize("loss", ['"mse"', '"MeanSquaredError"', "keras.losses.MeanSquaredError()",
                                  "keras.losses.mean_squared_error"])
def test_a_loss_of_keras_gives_the_number_of_the_function_written_out(tmp_path, loss):
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, (LOSS, f"get_total_loss = {loss}\n"))))
    x, y = (np.concatenate(parts) for parts in zip(*((np.asarray(x), np.asarray(y))
                                                    for x, y in estimator.validation_data.dataset)))
    answers = estimator.predict(x)["prediction"]
    assert estimator.evaluate()["loss"] == pytest.approx(np.mean((answers - y) ** 2), rel=1e-5)


def test_an_unknown_loss_is_named(tmp_path):
    with pytest.raises(ExperimentError, match="mysettings.py.*get_total_loss(.|\\n)*"
                       "Keras has no loss .mean_square_error.. Did you mean .mean_squared_error."):
        experiments_manager.run(write_experiment(tmp_path, (LOSS, 'get_total_loss = "mean_square_error"\n')))


@pytest.mark.parametrize(("function", "told"), [
    ("def get_validation_summaries(labels):\n    return [labels]\n", "must return a dict from tags to tensors"),
    ("def get_validation_summaries(labels):\n    return [labels], 3\n", "must return a dict from tags to tensors"),
    ("def get_validation_summaries():\n    return {'a': object()}\n", "must return a dict from tags to tensors"),
    ("def get_validation_summaries():\n    return {'a': 'text'}\n", "must return numbers. 'a' has dtype string"),
    ("def addon_callbacks():\n    return 3\n", "must return a list of Keras callbacks. Got 3"),
    ("def addon_callbacks():\n    raise KeyError('mine')\n", "addon_callbacks raised an exception")])
def test_check_calls_the_optional_functions_once(tmp_path, capsys, function, told):
    file = write_experiment(tmp_path, (LOSS, f"{LOSS}\n\n{function}"))
    assert check(file) is False
    printed = capsys.readouterr().out
    assert told in printed and "site-packages" not in printed


def test_callbacks_may_be_named_in_a_dict(tmp_path):
    callbacks = "def addon_callbacks():\n    return {'stop': keras.callbacks.TerminateOnNaN()}\n"
    assert experiments_manager.run(write_experiment(tmp_path, (LOSS, f"{LOSS}\n\n{callbacks}")))["status"] == "ok"


def with_callbacks(callbacks):
    return (LOSS, f"{LOSS}\n\n{callbacks}")


def test_a_callback_that_raises_is_told_by_its_own_line(tmp_path):
    callbacks = ("class Mine(keras.callbacks.Callback):\n    def on_epoch_end(self, epoch, logs=None):\n"
                 "        raise KeyError('boo')\n\n\ndef addon_callbacks():\n    return [Mine()]\n")
    with pytest.raises(ExperimentError, match=r"mysettings.py:\d+: Mine.on_epoch_end of addon_callbacks(.|\n)*boo") as error:
        experiments_manager.run(write_experiment(tmp_path, with_callbacks(callbacks)))
    assert "addon_callbacks.py" not in str(error.value)


def test_a_callback_that_saves_the_whole_model_is_refused_before_training(tmp_path):
    callbacks = f"def addon_callbacks():\n    return [keras.callbacks.ModelCheckpoint({str(tmp_path / 'a.keras')!r})]\n"
    with pytest.raises(ExperimentError, match="save_weights_only=True"):
        experiments_manager.run(write_experiment(tmp_path, with_callbacks(callbacks)))
    assert not (tmp_path / "experiments").exists()


def test_an_evaluation_counts_no_sample_twice(tmp_path):
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 2\nnb_val_samples = 1000"))))
    whole = Estimator(settings=load_settings(write_experiment(tmp_path)))
    assert estimator.evaluate() == whole.evaluate()


def test_validation_sets_need_a_pipeline_that_reads_their_folder(tmp_path):
    with pytest.raises(ExperimentError, match="all sets would be the same data"):
        Estimator(settings=load_settings(write_experiment(
            tmp_path, ("nbEpoch = 2", 'nbEpoch = 2\nvalidation_sets = {"n": "abc"}'),
            ("def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):",
             'def get_input_pipeline_train_val(batch_size, shuffle_batches):\n    raw_data_files_folder = "train"'))))
