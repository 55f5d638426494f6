"""Evaluations within epochs: their numbers, that they leave no trace, and exact restarts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from expman import experiment_run
from expman.records.experiment_folder import ExperimentFolder
from expman.records.trial import Trial
from expman.reports.metrics_table import read_metrics_table
from expman.sweeps.search.pruning_rules import MedianStopping
from expman.tracking.run_content import RunContent
from expman.training.steps.execution_length import ending_at
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics, untimed

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
NOISY = (PIPELINE, '''noise = lambda x: x + np.random.normal(0, 0.1, x.shape).astype(np.float32)
    dataset = dataset.map(lambda x, y: (tf.ensure_shape(tf.numpy_function(noise, [x], tf.float32), [3]), y))
    return dataset.shuffle(90).batch(batch_size)''')
EPOCHS = ("nbEpoch = 2\nsteps_per_execution = 1", "nbEpoch = 4\nsteps_per_execution = 4")
EVERY_2 = "\neval_every_steps = 2\n"
INTERRUPT = '''

def addon_callbacks():
    from tests.support.training_runs import Interrupt
    return [Interrupt()]
'''


def trained(folder: Path, *replacements: tuple[str, str], added: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    return Path(experiment_run.train(write_experiment(folder, EPOCHS, *replacements, added=added))["sessionFolder"])


@pytest.fixture(scope="module")
def often(tmp_path_factory) -> Path:
    """Six steps an epoch, an evaluation after each two."""
    return trained(tmp_path_factory.mktemp("often"), NOISY, added=EVERY_2)


def weights(folder: Path, step: int = 24) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / f"step-{step:09d}" / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_there_is_a_row_for_each_evaluation(often):
    rows = read_metrics(often)
    assert [int(row["step"]) for row in rows] == list(range(2, 25, 2))
    assert [int(row["epoch"]) for row in rows] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [float(row["epochs_done"]) for row in rows] == pytest.approx([number / 3 for number in range(1, 13)], abs=1e-5)
    assert all(row["val_mae"] for row in rows)
    assert json.loads((often / "state.json").read_text())["num_evaluations"] == 12


def test_evaluations_within_epochs_leave_no_trace_in_the_training(often, tmp_path):
    without = trained(tmp_path, NOISY)
    ends = [row for row in read_metrics(often) if int(row["step"]) % 6 == 0]
    assert [row["loss"] for row in ends] == [row["loss"] for row in read_metrics(without)]
    assert_same_weights(often, without)


def test_the_numbers_within_an_epoch_are_those_of_the_exported_version(tmp_path):
    folder = trained(tmp_path, ("nbEpoch = 4", "nbEpoch = 1"), added="\neval_every_steps = 4\nexport_policy = 'latest'\n")
    row = read_metrics(folder)[0]
    x = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32)
    y = 2.0 * x.sum(axis=1, keepdims=True) + 1
    answers = tf.saved_model.load(str(folder / "export" / "line" / "1")).signatures["serving_default"](
        x=tf.constant(x))["prediction"].numpy()
    assert (row["step"], row["epochs_done"]) == ("4", "0.666667")
    assert float(row["val_mae"]) == pytest.approx(np.abs(answers - y).mean(), rel=1e-5)
    assert float(row["val_loss"]) == pytest.approx(np.square(answers - y).mean(), rel=1e-5)


@pytest.mark.slow
def test_a_restart_within_an_epoch_is_exact(often, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, NOISY, added=EVERY_2 + INTERRUPT)
    folder = next((tmp_path / "experiments").iterdir())
    assert max(path.name for path in (folder / "checkpoints").iterdir()) == "step-000000014"  # two steps into the third epoch
    settings = folder / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("return [Interrupt()]", "return []"))
    experiment_run.restart(str(folder))
    assert untimed(read_metrics(folder)) == untimed(read_metrics(often))
    assert_same_weights(folder, often)


def test_data_of_unknown_length_give_the_same_rows(tmp_path):
    files = [trained(tmp_path / name, (PIPELINE, pipeline), added=EVERY_2) for name, pipeline in (
        ("known", PIPELINE), ("unknown", PIPELINE.replace("dataset.shuffle", "dataset.filter(lambda x, y: True).shuffle")))]
    known, unknown = (untimed(read_metrics(file)) for file in files)
    assert [(row["step"], row["epochs_done"]) for row in unknown] == [(row["step"], row["epochs_done"]) for row in known]
    assert len(known) == 12


def test_patience_counts_evaluations(tmp_path):
    folder = trained(tmp_path, ('initial_learning_rate = hparams["learningRate"]', "initial_learning_rate = 1e-30"),
                     added=f"{EVERY_2}early_stopping_patience = 4\n")
    state = json.loads((folder / "state.json").read_text())
    assert state["stop_reason"] == "no improvement for 4 evaluations"
    assert (state["best_step"], state["step"], state["num_evaluations"]) == (2, 10, 5)
    assert [row["step"] for row in read_metrics(folder)] == ["2", "4", "6", "8", "10"]


def test_readers_of_the_table_take_several_rows_an_epoch(often):
    places, values = read_metrics_table(often / "metrics.csv").points("val_loss")
    assert places == pytest.approx([number / 3 for number in range(1, 13)], abs=1e-5)
    history = Trial(folder=ExperimentFolder(often), number=1, hparams={}, point={}).history("loss")
    assert history == list(zip(places, values))
    rule = MedianStopping(metric="loss", mode="min", grace_epochs=1, min_trials=1)
    assert rule.reason_to_end([(2 / 3, 99.0)], [history]) is None  # before the first epoch is over
    assert "epoch 1.333: the best loss so far, 99" in rule.reason_to_end([(4 / 3, 99.0)], [history])
    assert [row.step for row in RunContent(ExperimentFolder(often)).rows_after(14)] == [16, 18, 20, 22, 24]


def test_tensorboard_has_a_point_for_each_evaluation(often):
    events = EventAccumulator(str(often / "logs" / "validation"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("mae")] == list(range(2, 25, 2))


@pytest.mark.parametrize(("every_steps", "num_steps", "expected"), [(100, 60, 50), (10, 7, 5), (97, 50, 97), (9, 500, 9),
                                                                   (9973, 50, 1), (50, 1, 1)])
def test_executions_end_at_evaluations(every_steps, num_steps, expected):
    assert ending_at(every_steps, num_steps=num_steps) == expected
