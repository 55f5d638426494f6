"""Restart: from the folder alone, after signals, kills and damaged checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from expman import experiment_run
from expman.errors import UsageError
from tests.support.settings_files import write_experiment
from tests.support.training_runs import SLOW, read_metrics, start, untimed, wait_for_epoch


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_folder_alone(tmp_path, cold_script):
    source = tmp_path / "source"
    source.mkdir()
    (source / "myrates.py").write_text("RATE = 0.05\n", encoding="utf-8")
    file = write_experiment(source, (str(source / "experiments"), str(tmp_path / "experiments")),
                            ("nbEpoch = 2", "nbEpoch = 6\nimport myrates"), SLOW,
                            ('initial_learning_rate = hparams["learningRate"]', "initial_learning_rate = myrates.RATE"))
    process = start(file)
    folder = wait_for_epoch(tmp_path / "experiments", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    shutil.rmtree(source)
    restarted = cold_script("--restart_interrupted", "--model_dir", folder)
    assert restarted.returncode == 0, restarted.stderr
    assert "Training goes on after epoch" in restarted.stderr
    rows = read_metrics(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["step"] for row in rows] == ["6", "12", "18", "24", "30", "36"]
    assert json.loads((folder / "state.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_training_and_leaves_it_restartable(tmp_path, number, exit_code):
    process = start(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 500"), SLOW))
    folder = wait_for_epoch(tmp_path / "experiments", 1, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == exit_code, output
    state = json.loads((folder / "state.json").read_text())
    assert state["status"] == "stopped" and number.name in state["stop_reason"]
    assert f"Training was stopped by {number.name}" in output
    assert list((folder / "checkpoints").glob("step-*"))


def test_a_finished_experiment_says_so_and_can_be_extended(tmp_path, trained):
    folder = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], folder)
    with pytest.raises(UsageError, match="is finished after 2 epochs. To extend it, add --nbEpoch with a number above 2"):
        experiment_run.restart(str(folder))
    best_before = json.loads((folder / "state.json").read_text())["best_value"]
    result = experiment_run.restart(str(folder), num_epochs=4)
    rows = read_metrics(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert untimed(rows)[:2] == untimed(read_metrics(trained["sessionFolder"]))
    assert result["loss"] <= best_before
    assert json.loads((folder / "experiment.json").read_text())["settings"]["nbEpoch"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", [
    "dataset.shuffle(90).map(lambda x, y: (x, y)).shuffle(20)",
    "tf.data.Dataset.zip(dataset, tf.data.Dataset.random(rerandomize_each_iteration=True)).map("
    "lambda sample, seed: (sample[0] * tf.random.stateless_uniform([], [seed, 0]), sample[1])).shuffle(20)"])
def test_what_is_random_below_a_shuffle_goes_on_as_without_interruption(tmp_path, pipeline):
    (tmp_path / "whole").mkdir(), (tmp_path / "parts").mkdir()
    shuffled = ("dataset.shuffle(90) if shuffle_batches", f"{pipeline} if shuffle_batches")
    whole = experiment_run.train(write_experiment(tmp_path / "whole", shuffled, ("nbEpoch = 2", "nbEpoch = 4")))
    parts = experiment_run.train(write_experiment(tmp_path / "parts", shuffled))
    experiment_run.restart(parts["sessionFolder"], num_epochs=4)
    assert untimed(read_metrics(parts["sessionFolder"])) == untimed(read_metrics(whole["sessionFolder"]))


@pytest.mark.parametrize("damage", ["truncated", "deleted", "progress lost"])
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(tmp_path, trained, caplog, damage):
    folder = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], folder)
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    data = next(newest.glob("variables.data*"))
    if damage == "truncated":
        data.write_bytes(data.read_bytes()[:100])
    elif damage == "deleted":
        data.unlink()
    else:
        (newest / "progress.json").write_text("{", encoding="utf-8")
    experiment_run.restart(str(folder), num_epochs=3)
    assert f"Checkpoint {newest} cannot be used and is passed over" in caplog.text
    assert [row["epoch"] for row in read_metrics(folder)] == ["1", "2", "3"]


def test_restart_before_the_first_checkpoint_trains_from_the_start(tmp_path, trained):
    folder = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], folder)
    shutil.rmtree(folder / "checkpoints")
    (folder / "state.json").unlink()
    experiment_run.restart(str(folder))
    assert untimed(read_metrics(folder)) == untimed(read_metrics(trained["sessionFolder"]))


def test_the_overrides_of_the_first_start_are_kept(tmp_path):
    import experiments_manager
    result = experiments_manager.run(write_experiment(tmp_path), {"hiddenNeurons": 3})
    experiment_run.restart(result["sessionFolder"], num_epochs=3)
    identity = json.loads((Path(result["sessionFolder"]) / "experiment.json").read_text())
    assert identity["hparams"]["hiddenNeurons"] == {"value": 3, "origin": "python"}
    assert "hiddenNeurons3" in result["sessionFolder"]
