"""Data that do not tell their length and never end: refused with the setting that is missing, in counting and in evaluation."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

import experiments_manager
from expman import experiment_run
from expman.training.data import unknown_length
from tests.support.settings_files import line_of, write_experiment
from tests.support.training_runs import read_metrics, untimed

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
ENDLESS = """def numbers():
        while True:
            yield x[:16], y[:16]

    endless = tf.data.Dataset.from_generator(numbers, output_signature=(tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1])))
    """


def test_counting_says_so_and_names_the_setting_that_makes_it_needless(monkeypatch, caplog):
    monkeypatch.setattr(unknown_length, "_SECONDS_BEFORE_NOTICE", 0.0)
    caplog.set_level("INFO")
    counted = sum(1 for _ in unknown_length.told_while_counting(
        tf.data.Dataset.range(3), place="mysettings.py:5", described_as="training data", remedy="Set nb_train_samples."))
    assert counted == 3
    assert "training data are being counted, 3 so far. Set nb_train_samples. Ctrl-C ends this." in caplog.text


@pytest.mark.parametrize(("limit", "value"), [("_MOST_BATCHES", 40), ("_MOST_SECONDS", 0.0)])
def test_endless_training_data_are_refused_where_they_must_be_counted(tmp_path, monkeypatch, capsys, limit, value):
    monkeypatch.setattr(unknown_length, limit, value)
    file = write_experiment(tmp_path, (PIPELINE, f"{ENDLESS}return endless if shuffle_batches else dataset.batch(batch_size)"), (
        "nbEpoch = 2", "nbEpoch = 2\nnum_epochs_per_decay = 1\nlearning_rate_decay_factor = 0.5"))
    assert experiments_manager.main(["--usersettings", str(file)]) == 1
    told = capsys.readouterr().err
    batches = 40 if limit == "_MOST_BATCHES" else 1
    place = f"mysettings.py:{line_of(file, 'def get_input_pipeline_train_val')}"
    assert f"{place}: the training data have not ended after {batches} batches and 0 minutes of being counted" in told
    assert "Set nb_train_samples to say how many samples an epoch has" in told and not (tmp_path / "experiments").exists()


def test_endless_validation_data_end_the_training_with_the_setting_that_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(unknown_length, "_MOST_SECONDS", 0.0)  # then ten times the six steps of the first epoch
    file = write_experiment(tmp_path, (PIPELINE, f"{ENDLESS}return dataset.batch(batch_size) if shuffle_batches else endless"))
    assert experiments_manager.main(["--usersettings", str(file)]) == 1
    told = capsys.readouterr().err
    assert "the validation data have not ended after 60 batches and 0 minutes of being evaluated, so they seem to be endless" in told
    assert "set nb_val_samples to say how many samples an evaluation has" in told
    state = json.loads(next((tmp_path / "experiments").glob("*/state.json")).read_text())
    assert state["status"] == "failed" and "nb_val_samples" in state["stop_reason"]


def test_validation_data_of_unknown_length_are_evaluated_whole(tmp_path):
    runs = []
    for name, change in (("known", ".batch(batch_size)"), ("unknown", ".batch(batch_size).filter(lambda x, y: True)")):
        (tmp_path / name).mkdir()
        runs.append(experiment_run.train(write_experiment(tmp_path / name, (".batch(batch_size)", change)))["sessionFolder"])
    known, unknown = (untimed(read_metrics(run)) for run in runs)
    assert known == unknown
