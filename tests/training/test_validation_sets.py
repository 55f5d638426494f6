"""Several named validation sets: their numbers, and that they change nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from expman import experiment_run
from expman.cli.commands.check import check
from expman.errors import SettingsError, TrainingError, UserCodeError
from expman.experiment_evaluation import evaluate
from expman.settings.loading import load_settings
from expman.training.estimator import Estimator
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics, untimed

FOLDERS = ["train", "val", "lab1", "lab2"]
SAMPLES = ('default_rng(0 if raw_data_files_folder == "train" else 1).normal(size=[90, 3])',
           f'default_rng({FOLDERS}.index(raw_data_files_folder)).normal(size=[37 if raw_data_files_folder == "lab2" else 90, 3])')
SETS = ('raw_data_dir_val = "val"', 'raw_data_dir_val = "val"\nvalidation_sets = {"night": "lab1", "other-lab": "lab2"}')


@pytest.fixture(scope="module")
def with_sets(tmp_path_factory) -> Path:
    file = write_experiment(tmp_path_factory.mktemp("with"), SAMPLES, SETS, ("nbEpoch = 2", "nbEpoch = 4"),
                            added="\nearlystopping_metric = 'other-lab/loss'\n")
    return Path(experiment_run.train(file)["sessionFolder"])


def samples(folder: str) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(FOLDERS.index(folder)).normal(size=[37 if folder == "lab2" else 90, 3]).astype(np.float32)
    return x, 2.0 * x.sum(axis=1, keepdims=True) + 1


@pytest.mark.parametrize(("prefix", "folder"), [("", "val"), ("night/", "lab1"), ("other-lab/", "lab2")])
def test_each_set_has_the_numbers_that_numpy_computes_from_the_exported_answers(with_sets, prefix, folder):
    version = max((with_sets / "export" / "line").iterdir(), key=lambda path: int(path.name))
    x, y = samples(folder)
    answers = tf.saved_model.load(str(version)).signatures["serving_default"](x=tf.constant(x))["prediction"].numpy()
    measured = json.loads((with_sets / "state.json").read_text())["best_metrics"]
    assert measured[f"{prefix}mae"] == pytest.approx(np.abs(answers - y).mean(), rel=1e-5)
    assert measured[f"{prefix}rmse"] == pytest.approx(np.sqrt(np.square(answers - y).mean()), rel=1e-5)
    assert measured[f"{prefix}loss"] == pytest.approx(np.square(answers - y).mean(), rel=1e-5)


def test_a_named_loss_may_decide_what_best_means(with_sets):
    values = [float(row["val_other-lab/loss"]) for row in read_metrics(with_sets)]
    state = json.loads((with_sets / "state.json").read_text())
    assert state["best_value"] == min(values) and state["best_epoch"] == values.index(min(values)) + 1


def test_the_evaluate_command_measures_each_set_and_counts_the_samples_of_the_unnamed_one(with_sets):
    record = evaluate(with_sets)
    assert record["metrics"] == json.loads((with_sets / "state.json").read_text())["best_metrics"]
    assert len(record["metrics"]) == 9 and record["num_samples"] == 90


def test_tensorboard_has_a_curve_for_each_number_of_each_set(with_sets):
    events = EventAccumulator(str(with_sets / "logs" / "validation"))
    events.Reload()
    tags = {f"{prefix}{name}" for prefix in ("", "night/", "other-lab/") for name in ("loss", "mae", "rmse")}
    assert tags <= set(events.Tags()["tensors"])


def test_the_data_of_each_set_are_recorded(with_sets):
    data = json.loads((with_sets / "experiment.json").read_text())["data"]
    assert data["validation_sets['night']"]["folder"] == "lab1"
    assert len({data["first_batches"][f"validation data{name}"] for name in ("", " 'night'", " 'other-lab'")}) == 3


def test_further_sets_change_neither_the_weights_nor_the_other_numbers(with_sets, tmp_path):
    without = Path(experiment_run.train(write_experiment(tmp_path, SAMPLES, ("nbEpoch = 2", "nbEpoch = 4")))["sessionFolder"])
    rows = [{name: value for name, value in row.items() if "/" not in name} for row in untimed(read_metrics(with_sets))]
    assert rows == untimed(read_metrics(without))
    one, other = (tf.train.load_checkpoint(str(folder / "checkpoints" / "step-000000024" / "variables"))
                  for folder in (with_sets, without))
    names = one.get_variable_to_shape_map().keys()
    assert names == other.get_variable_to_shape_map().keys()
    assert all(np.array_equal(one.get_tensor(name), other.get_tensor(name)) for name in names)


@pytest.mark.slow
def test_a_restart_finds_the_place_in_the_shuffles_of_each_set(tmp_path):
    shuffled = ("return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)",
                "return dataset.shuffle(90).batch(batch_size)")
    runs = {}
    for name, num_epochs in (("whole", 4), ("parts", 2)):
        (tmp_path / name).mkdir()
        runs[name] = experiment_run.train(write_experiment(
            tmp_path / name, SAMPLES, SETS, shuffled, ("nbEpoch = 2", f"nbEpoch = {num_epochs}\nnb_val_samples = 32")))
    experiment_run.restart(runs["parts"]["sessionFolder"], num_epochs=4)
    whole, parts = (untimed(read_metrics(run["sessionFolder"])) for run in runs.values())
    assert parts == whole
    assert len({row["val_night/loss"] for row in whole}) == 4


def test_nb_val_samples_never_repeats_samples_of_a_shorter_set(tmp_path):
    settings = load_settings(write_experiment(tmp_path, SAMPLES, SETS, ("nbEpoch = 2", "nbEpoch = 2\nnb_val_samples = 48")))
    estimator = Estimator(settings=settings)
    counts = {name: sum(len(x) for x, _ in data.dataset) for name, data in estimator.validation_sets.items()}
    assert counts == {"night": 48, "other-lab": 37}


@pytest.mark.parametrize("sets", ["{'a b': 'lab1'}", "{'a/b': 'lab1'}", "{'1a': 'lab1'}", "{'a': ''}", "{'a': 3}", "['lab1']"])
def test_names_and_folders_that_cannot_be_are_refused(tmp_path, sets):
    with pytest.raises(SettingsError, match="validation_sets must be a dict from names .a letter, then letters, digits"):
        load_settings(write_experiment(tmp_path, SAMPLES, added=f"\nvalidation_sets = {sets}\n"))


@pytest.mark.parametrize(("added", "expected"), [
    ("earlystopping_metric, earlystopping_mode = 'nigth/mae', 'min'",
     "'nigth/mae' is none of the validation metrics: loss, mae, rmse, night/loss, night/mae, night/rmse, other-lab/loss"),
    ("get_eval_metric_ops = lambda labels: {'mae': tf.reduce_mean(labels), 'night/mae': tf.reduce_mean(labels)}",
     r"validation_sets\['night'\]: 'night/mae' is a metric of the other validation data already. Rename the set"),
    ("get_input_pipeline_train_val = lambda raw_data_files_folder, batch_size: tf.data.Dataset.from_tensor_slices((np.ones("
     "[32, 4 if raw_data_files_folder == 'lab1' else 3], np.float32), np.arange(32, dtype=np.float32)[:, None])).batch(16)",
     r"validation_sets\['night'\]: the first batch: features float32\(16, 4\)")])
def test_what_does_not_fit_is_told_before_training(tmp_path, added, expected):
    with pytest.raises((UserCodeError, TrainingError), match=expected):
        experiment_run.train(write_experiment(tmp_path, SAMPLES, SETS, added=f"\n{added}\n"))
    assert not (tmp_path / "experiments").exists()


def test_check_shows_each_set(tmp_path, capsys):
    assert check(write_experiment(tmp_path, SAMPLES, SETS))
    output = capsys.readouterr().out
    assert "6 batches for validation, 6 batches for validation 'night', 3 batches for validation 'other-lab'" in output
    assert "night/mae" in output
