"""Sweeps as users run them: real trials in processes of their own, failures, kills, resumption."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import hyperopt
import numpy as np
import pytest

import experiments_manager
from tests.support.processes import start_script
from tests.support.settings_files import write_experiment
from tests.support.sweep_files import read_trials, write_sweep


def sweep(file, *options):
    """Runs the command in this process, whose trials are forked from one server for all tests."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        exit_code = experiments_manager.main(["--sweep", str(file), *options])
    return subprocess.CompletedProcess(["--sweep"], exit_code, output.getvalue(), errors.getvalue())


def started_sweep(file):
    return start_script("--sweep", file, stderr=subprocess.STDOUT)


def wait_for(condition, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def outcome(trials):
    """What must not depend on interruptions."""
    return [(trial["number"], trial["hparams"], trial["status"], trial["value"]) for trial in trials]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep that ran to its end without interruption: folder, answer."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, sweep(write_sweep(folder))


def test_each_trial_is_an_ordinary_experiment_and_the_best_one_can_be_served(finished):
    folder, answer = finished
    assert answer.returncode == 0, answer.stderr
    trials = read_trials(folder)
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    for trial in trials:
        identity = json.loads((trial["folder"] / "experiment.json").read_text())
        assert {name: identity["hparams"][name] for name in trial["hparams"]} == {
            name: {"value": value, "origin": "sweep"} for name, value in trial["hparams"].items()}
        with open(trial["folder"] / "metrics.csv", newline="") as stream:
            assert trial["value"] == pytest.approx(min(float(row["val_mae"]) for row in csv.DictReader(stream)
                                                       if row["val_loss"]), rel=0.5)
    best = min(trials, key=lambda trial: trial["value"])
    assert (folder / "sweep" / "best").resolve() == best["folder"].resolve()
    for folder_of_trial in [trial["folder"] for trial in trials] + [folder / "sweep" / "best"]:
        assert [file.parent.name for file in (folder_of_trial / "export" / "line").glob("*/saved_model.pb")] == ["1"]
    assert f"--start_server --model_dir {folder}/sweep/best" in answer.stdout


def test_the_sweep_leaves_a_table_and_pictures(finished):
    folder, _ = finished
    with open(folder / "sweep" / "trials.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["value"]) for row in rows] == pytest.approx([trial["value"] for trial in read_trials(folder)])
    assert len(list((folder / "sweep" / "pictures").glob("*.png"))) >= 3


def test_a_line_a_trial_tells_value_and_best(finished):
    _folder, answer = finished
    lines = [line for line in answer.stdout.splitlines() if line.startswith("trial ")]
    assert [line.split(":")[0] for line in lines] == [f"trial {number}/4 finished" for number in range(1, 5)]
    assert all("mae " in line and "best " in line and "hiddenNeurons=" in line for line in lines)


def test_running_it_again_trains_nothing_and_says_the_same(finished):
    folder, _ = finished
    before = {file: file.stat().st_mtime_ns for file in (folder / "sweep").glob("*/metrics.csv")}
    answer = sweep(folder / "mysweep_line.py")
    assert answer.returncode == 0, answer.stderr
    assert before == {file: file.stat().st_mtime_ns for file in (folder / "sweep").glob("*/metrics.csv")}
    assert "--start_server" in answer.stdout


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path):
    replaced = ('"random"', '"tpe"'), ("max_trials = 4", "max_trials = 5")
    file = write_sweep(tmp_path, *replaced, experiment=(("nbEpoch = 2", "nbEpoch = 4"),))
    (tmp_path / "reference").mkdir()
    assert sweep(write_sweep(tmp_path / "reference", *replaced, experiment=(("nbEpoch = 2", "nbEpoch = 4"),))).returncode == 0
    for kill in range(4):
        process = started_sweep(file)
        wait_for(lambda: len(read_trials(tmp_path)) > kill or process.poll() is not None)
        time.sleep(0.3 * kill)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    answer = sweep(file)
    assert answer.returncode == 0, answer.stderr
    assert outcome(read_trials(tmp_path)) == outcome(read_trials(tmp_path / "reference"))
    for trial in read_trials(tmp_path):
        with open(trial["folder"] / "metrics.csv", newline="") as stream:
            assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_sigterm_saves_the_running_trial_and_the_same_command_goes_on(tmp_path):
    file = write_sweep(tmp_path, ("max_trials = 4", "max_trials = 1"), experiment=(("nbEpoch = 2", "nbEpoch = 300"),))
    process = started_sweep(file)
    wait_for(lambda: list(tmp_path.glob("sweep/0001*/checkpoints/*")))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 143
    assert "The same command goes on." in output
    trial, = read_trials(tmp_path)
    assert trial["status"] == "running"
    state = json.loads((trial["folder"] / "state.json").read_text())
    assert state["status"] == "stopped" and state["step"] > 0
    assert (trial["folder"] / state["last_exported_model"] / "saved_model.pb").exists()


def test_a_trial_that_crashes_is_killed_or_diverges_is_a_failed_trial_with_its_reason(tmp_path):
    file = write_sweep(
        tmp_path, ('hp.choice("hiddenNeurons", [2, 4, 8])', "[1, 2, 3, 4, 5]"),
        ('hp.loguniform("learningRate", -7, -1)', "[0.01]"), ('"random"', '"grid"'), ("max_trials = 4", "max_trials = 5"),
        experiment_added='''
import os
import signal
neurons = hparams["hiddenNeurons"]
if neurons == 2:
    os.kill(os.getpid(), signal.SIGKILL) if os.getppid() != os.getsid(0) and "trial" in os.readlink("/proc/self/fd/1") else None
''', model='''
import keras


def model(data, n_outputs, hparams):
    if hparams["hiddenNeurons"] == 3:
        raise MemoryError("no memory left")
    if hparams["hiddenNeurons"] == 4:
        import ctypes
        ctypes.string_at(0)
    return {"prediction": keras.layers.Dense(n_outputs, bias_initializer="ones" if hparams["hiddenNeurons"] != 5 else
                                             keras.initializers.Constant(float("inf")))(data)}
''')
    answer = sweep(file)
    assert answer.returncode == 0, answer.stderr
    trials = read_trials(tmp_path)
    assert [trial["status"] for trial in trials] == ["finished", "failed", "failed", "failed", "failed"]
    for trial, reason in zip(trials[1:], ("SIGKILL", "no memory left", "SIGSEGV", "not finite")):
        assert reason in trial["reason"]
        assert trial["reason"].splitlines()[0] in answer.stdout


@pytest.mark.slow
def test_a_trial_that_takes_too_long_is_a_failed_trial(tmp_path):
    file = write_sweep(tmp_path, ("max_trials = 4", "max_trials = 1"), added="trial_timeout_seconds = 3\n",
                       experiment=(("nbEpoch = 2", "nbEpoch = 100000"),))
    answer = sweep(file)
    assert answer.returncode == 1
    assert "took longer than trial_timeout_seconds = 3" in answer.stderr
    assert read_trials(tmp_path)[0]["status"] == "failed"


def test_too_many_failures_stop_the_sweep(tmp_path):
    file = write_sweep(tmp_path, added="max_failures = 1\n", model='''
import keras


def model(data, n_outputs, hparams):
    raise MemoryError("no memory left")
''')
    answer = sweep(file)
    assert answer.returncode == 1
    assert "first trial failed" in answer.stderr or "more than max_failures = 1" in answer.stderr


def test_a_mistake_of_the_user_in_the_first_trial_stops_the_sweep_with_its_message_and_leaves_no_trial(tmp_path):
    file = write_sweep(tmp_path, experiment=(("tf.abs(predictions - labels)", "tf.abs(predictions - label)"),))
    answer = sweep(file)
    assert answer.returncode == 1
    assert "The first trial failed" in answer.stderr and "name 'label' is not defined" in answer.stderr
    assert read_trials(tmp_path) == [] and not list((tmp_path / "sweep").glob("0*"))


@pytest.mark.slow
def test_two_trials_at_a_time_share_the_cores(tmp_path):
    file = write_sweep(tmp_path, added="max_parallel_trials = 2\n", experiment_added='''
import pathlib
pathlib.Path("WORK", f"{os.getpid()}.txt").write_text(f"{sorted(os.sched_getaffinity(0))}") if os.getsid(0) == os.getpid() else 0
'''.replace("WORK", str(tmp_path)), experiment=(("import keras\n", "import os\nimport keras\n"),))
    answer = sweep(file)
    assert answer.returncode == 0, answer.stderr
    assert [trial["status"] for trial in read_trials(tmp_path)] == ["finished"] * 4
    used = [json.loads(path.read_text()) for path in tmp_path.glob("*.txt")]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        assert {tuple(each) for each in used} >= {tuple(cores[0::2]), tuple(cores[1::2])}


def test_a_second_sweep_in_the_same_folder_refuses(tmp_path):
    import fcntl
    file = write_sweep(tmp_path)
    (tmp_path / "sweep").mkdir()
    descriptor = os.open(tmp_path / "sweep", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        answer = sweep(file)
    finally:
        os.close(descriptor)
    assert answer.returncode == 1
    assert "Another process runs the sweep" in answer.stderr


def test_changed_files_are_told_and_refused_unless_accepted(finished, tmp_path):
    folder, _ = finished
    file = folder / "mysweep_line.py"
    original = file.read_text()
    try:
        file.write_text(original.replace("[2, 4, 8]", "[2, 4, 16]"))
        answer = sweep(file)
        assert answer.returncode == 1
        assert "[2, 4, 16]" in answer.stderr and "--accept_changes" in answer.stderr
        file.write_text(original.replace("max_trials = 4", "max_trials = 5"))
        assert sweep(file).returncode == 0
        assert len(read_trials(folder)) == 5
    finally:
        file.write_text(original)


@pytest.mark.parametrize(("replacement", "message"), [
    (('{"hiddenNeurons"', '{"hiddenNeuron"'), "Did you mean 'hiddenNeurons'"),
    (("[2, 4, 8]", "[2, 4, 8.5]"), "hiddenNeurons must be an int"),
    (("mysettings.py", "nowhere.py"), "nowhere.py"),
    (("max_trials = 4", "max_trials = 0"), "max_trials must be an int above 0"),
    (('metric = "mae"', 'metric = "mean"'), "loss, mae, rmse")])
def test_wrong_sweeps_end_with_what_is_wrong(tmp_path, replacement, message):
    answer = sweep(write_sweep(tmp_path, replacement))
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list((tmp_path / "sweep").glob("0*")) if Path(tmp_path / "sweep").exists() else True


@pytest.mark.slow
def test_pruned_trials_end_early_and_say_why(tmp_path):
    file = write_sweep(tmp_path, ('hp.choice("hiddenNeurons", [2, 4, 8])', "[8]"),
                       ('hp.loguniform("learningRate", -7, -1)', "[0.03, 0.04, 0.05, 0.0000001]"), ('"random"', '"grid"'),
                       added='pruning = "median"\npruning_min_trials = 2\n', experiment=(("nbEpoch = 2", "nbEpoch = 6"),))
    answer = sweep(file)
    assert answer.returncode == 0, answer.stderr
    trials = read_trials(tmp_path)
    assert [trial["status"] for trial in trials] == ["finished", "finished", "finished", "pruned"]
    assert "median" in trials[3]["reason"]
    state = json.loads((trials[3]["folder"] / "state.json").read_text())
    assert state["status"] == "pruned" and state["epoch"] < 6


@pytest.mark.slow
def test_run_can_be_minimised_by_hyperopts_own_fmin(tmp_path):
    file = write_experiment(tmp_path)
    trials = hyperopt.Trials()
    space = {"hiddenNeurons": hyperopt.hp.choice("hiddenNeurons", [2, 8]),
             "learningRate": hyperopt.hp.loguniform("learningRate", -5, -2)}
    best = hyperopt.fmin(lambda hparams: experiments_manager.run(file, hparams), space, algo=hyperopt.rand.suggest, max_evals=3,
                         trials=trials, rstate=np.random.default_rng(0), show_progressbar=False)
    chosen = hyperopt.space_eval(space, best)
    identity = json.loads(Path(trials.best_trial["result"]["sessionFolder"], "experiment.json").read_text())
    assert {name: identity["hparams"][name]["value"] for name in chosen} == chosen
    assert min(trials.losses()) == trials.best_trial["result"]["loss"]
