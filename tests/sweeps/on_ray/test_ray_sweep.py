"""Sweeps on Ray: the shares of a cluster, what is refused, Tune's rules, and a real cluster of two nodes that loses one."""

from __future__ import annotations

import csv
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import experiments_manager
from expman.errors import SweepError, UsageError
from expman.records.experiment_folder import write_json
from expman.records.sweep_folder import SweepFolder
from expman.sweeps.on_ray.cluster_slots import ClusterShare, cluster_share
from expman.sweeps.on_ray.ray_cluster import chosen_address
from expman.sweeps.sweep_file import load_sweep
from tests.support.processes import SCRIPT
from tests.support.project import ROOT
from tests.support.ray_nodes import ray_nodes, trials_of_node
from tests.support.sweep_files import read_trials, write_sweep
from tests.sweeps.test_local_sweep import sweep, wait_for

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="pip install -r requirements-ray.txt")
EXAMPLE = ROOT / "examples" / "regression" / "mysettings_curve_fitting.py"
CURVE_SWEEP = '''
experiment_settings_file = "mysettings_curve_fitting.py"
sweepFolder = "SWEEP_FOLDER"
space = {"learningRate": [0.01, 0.011, 0.009, 1e-9]}
algorithm = "grid"
max_trials = 4
max_parallel_trials = 2
metric, mode = "rmse", "min"
pruning = "median"
pruning_grace_epochs = 2
pruning_min_trials = 3
'''


@pytest.mark.parametrize(("nodes", "num_trials", "most_gpus", "share"), [
    ([{"CPU": 8.0}], 1, 0, ClusterShare(8, 0, 1)),
    ([{"CPU": 8.0}, {"CPU": 4.0}], 3, 0, ClusterShare(4, 0, 3)),
    ([{"CPU": 8.0}, {"CPU": 4.0}], 4, 0, ClusterShare(2, 0, 4)),
    ([{"CPU": 2.0}], 5, 0, ClusterShare(1, 0, 2)),
    ([{"CPU": 16.0, "GPU": 4.0}] * 2, 4, 4, ClusterShare(8, 2, 4)),
    ([{"CPU": 16.0, "GPU": 4.0}] * 2, 1, 2, ClusterShare(16, 2, 1)),
    ([{"CPU": 64.0}, {"CPU": 8.0, "GPU": 2.0}], 4, 1, ClusterShare(1, 1, 2)),
    ([{"CPU": 0.0}, {"CPU": 4.0, "memory": 1e9}], 2, 0, ClusterShare(2, 0, 2))])
def test_a_trial_gets_the_largest_share_of_which_there_is_one_for_each(nodes, num_trials, most_gpus, share):
    assert cluster_share(nodes, num_trials=num_trials, most_gpus=most_gpus) == share


@pytest.mark.parametrize(("nodes", "most_gpus", "message"), [
    ([{"CPU": 4.0}, {"GPU": 1.0}], 1, "a CPU core and a GPU, since used_gpu_IDs .* 4 CPU, 0 GPU; 0 CPU, 1 GPU"),
    ([{"CPU": 0.0}], 0, "a CPU core. Its nodes have: 0 CPU, 0 GPU")])
def test_a_cluster_without_room_for_a_trial_is_told_with_what_it_has(nodes, most_gpus, message):
    with pytest.raises(SweepError, match=message):
        cluster_share(nodes, num_trials=1, most_gpus=most_gpus)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", "head:port"])
def test_an_address_that_no_sweep_can_use_is_refused(address):
    with pytest.raises(UsageError, match="--ray_address must be HOST:PORT"):
        chosen_address(address)


def test_the_address_is_the_given_one_else_that_of_the_environment_else_this_machine(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert chosen_address(None) == "auto"
    assert chosen_address("local") == "local"
    monkeypatch.delenv("RAY_ADDRESS")
    assert chosen_address(None) == "local"


def test_a_cluster_is_named_for_ray_only(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        experiments_manager.main(["--sweep", str(write_sweep(tmp_path)), "--ray_address", "head:6379"])
    assert "--engine ray" in capsys.readouterr().err


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@needs_ray
def test_a_cluster_that_does_not_answer_is_told_at_once(tmp_path):
    answer = sweep(write_sweep(tmp_path), "--engine", "ray", "--ray_address", f"127.0.0.1:{closed_port()}")
    assert answer.returncode == 2
    assert "No Ray cluster answers at 127.0.0.1:" in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / "sweep").exists()


def test_without_ray_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = sweep(write_sweep(tmp_path), "--engine", "ray")
    assert answer.returncode == 2
    assert "pip install -r requirements-ray.txt" in answer.stderr
    assert not (tmp_path / "sweep").exists()


@needs_ray
def test_a_strategy_of_several_machines_is_refused(tmp_path):
    answer = sweep(write_sweep(tmp_path, experiment_added="\ndistribution_strategy = 'MultiWorkerMirroredStrategy'\n"),
                   "--engine", "ray")
    assert answer.returncode == 2
    assert "distribution_strategy" in answer.stderr and "'auto'" in answer.stderr


@needs_ray
def test_a_sweep_that_one_machine_has_finished_is_finished_on_ray_too(tmp_path):
    file = write_sweep(tmp_path, ("max_trials = 4", "max_trials = 1"))
    assert sweep(file).returncode == 0
    metrics, = (tmp_path / "sweep").glob("0001*/metrics.csv")
    before = metrics.stat().st_mtime_ns
    answer = sweep(file, "--engine", "ray")
    assert answer.returncode == 0, answer.stderr
    assert "1 trials" in answer.stdout and metrics.stat().st_mtime_ns == before


@needs_ray
def test_a_node_that_does_not_see_the_sweeps_files_is_told_why(tmp_path):
    from expman.sweeps.on_ray.ray_trial import RayTerms, place_error
    file = write_sweep(tmp_path).with_name("mysettings.py")

    def error(**changes: str) -> str | None:
        terms = {"current_folder": str(tmp_path), "sweep_folder": str(tmp_path), "settings_file": str(file),
                 "metric": "mae", "mode": "min", "num_cpus": 1, "num_gpus": 0, "timeout_seconds": None, **changes}
        return place_error(RayTerms(**terms), record="{}")

    assert f"cannot read {tmp_path}/sweep.json (No such file" in error()
    (tmp_path / "sweep.json").write_text("{ }")
    assert "sees another" in error()
    (tmp_path / "sweep.json").write_text("{}")
    assert error() is None
    assert "cannot find the settings file" in error(settings_file="/nowhere.py")
    assert "has no folder /nowhere" in error(current_folder="/nowhere")


class TuneTrial:
    """What Tune's rules look at; remembers what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.trial_id = folder.name
        self.config = {"folder": str(folder)}
        self.asked: list[str] = []
        self.temporary_state = SimpleNamespace(ray_actor=SimpleNamespace(prune=SimpleNamespace(remote=self.asked.append)))


def write_trial(folder: Path, *, number: int, status: str, values: list[float]) -> Path:
    folder = folder / f"{number:04d}_trial"
    folder.mkdir(parents=True)
    write_json(folder / "trial.json", {"number": number, "hparams": {}, "point": {}, "status": status})
    rows = [f"{epoch},{value}" for epoch, value in enumerate(values, start=1)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,val_mae", *rows]) + "\n")
    return folder


@needs_ray
@pytest.mark.parametrize(("rule", "mode"), [("median", "min"), ("median", "max"), ("asha", "min"), ("asha", "max")])
def test_tunes_rules_know_trials_of_earlier_runs_and_ask_for_an_orderly_end(tmp_path, rule, mode):
    from expman.sweeps.on_ray.ray_pruning import ray_scheduler
    from expman.sweeps.on_ray.ray_trial import EPOCH, LOSS, as_loss
    swept = load_sweep(write_sweep(tmp_path, ('mode = "min"', f'mode = "{mode}"'), added=(
        f'pruning = "{rule}"\npruning_grace_epochs = 2\npruning_min_trials = 3\npruning_reduction_factor = 2\n')))
    sign = 1 if mode == "min" else -1
    for number, value in enumerate((1.0, 2.0, 3.0), start=1):
        write_trial(swept.folder, number=number, status="finished", values=[sign * value] * 3)
    good, bad = (write_trial(swept.folder, number=number, status="running", values=[sign * value])
                 for number, value in ((4, 1.5), (5, 2.5)))
    scheduler = ray_scheduler(swept, num_epochs=3, trials=SweepFolder(swept.folder).trials())
    trials = [TuneTrial(good), TuneTrial(bad)]
    for trial, value in zip(trials, (1.5, 2.5)):
        scheduler.on_trial_add(None, trial)
        assert scheduler.on_trial_result(None, trial, {EPOCH: 2, LOSS: as_loss(sign * value, mode=mode)}) == "CONTINUE"
    assert trials[0].asked == []
    assert len(trials[1].asked) == 1 and "epoch 2" in trials[1].asked[0]
    scheduler.on_trial_add(None, trials[1])  # its node died before it ended
    scheduler.on_trial_result(None, trials[1], {EPOCH: 3, LOSS: 0.0})
    assert len(trials[1].asked) == 2


def write_curve_sweep(folder: Path) -> Path:
    """The curve-fitting example, shortened, with epochs of half a second."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (("../../model_zoo", str(ROOT / "model_zoo")), ('"nbSamples": 5000', '"nbSamples": 1000'),
                     ("nbEpoch = 40", "nbEpoch = 6"),
                     ("return dataset.batch(batch_size)", "return dataset.batch(batch_size).map(waiting)")):
        assert old in text
        text = text.replace(old, new)
    (folder / EXAMPLE.name).write_text(text + '''

def waiting(x, y):
    import time
    return tf.ensure_shape(tf.py_function(lambda z: time.sleep(0.02) or z, [x], tf.float32), x.shape), y
''', encoding="utf-8")
    file = folder / "mysweep_curve.py"
    file.write_text(CURVE_SWEEP.replace("SWEEP_FOLDER", str(folder / "sweep")), encoding="utf-8")
    return file


def epochs(folder: Path) -> list[str]:
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as stream:
            return [row["epoch"] for row in csv.DictReader(stream)]
    except FileNotFoundError:
        return []


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_two_nodes_loses_one_and_its_trial_goes_on_on_the_other(tmp_path):
    file = write_curve_sweep(tmp_path)
    with ray_nodes() as nodes, open(tmp_path / "output.txt", "w+", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, SCRIPT, "--sweep", str(file), "--engine", "ray", "--ray_address",
                                    nodes.address], cwd=tmp_path, env=nodes.environment, stdout=output,
                                   stderr=subprocess.STDOUT, text=True)
        try:
            moved: dict[Path, int] = {}

            def second_node_trains() -> bool:
                assert process.poll() is None, (tmp_path / "output.txt").read_text(encoding="utf-8")
                moved.update(trials_of_node(nodes.raylet(1), tmp_path / "sweep"))
                return any(len(epochs(folder)) >= 2 for folder in moved)

            wait_for(second_node_trains)
            os.kill(nodes.raylet(1), signal.SIGKILL)
            process.wait(timeout=200)
        finally:
            process.kill()
            process.wait()
        text = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert process.returncode == 0, text
    trials = read_trials(tmp_path)
    assert [trial["status"] for trial in trials] == ["finished", "finished", "finished", "pruned"], text
    assert "MedianStoppingRule" in trials[3]["reason"] and len(epochs(trials[3]["folder"])) < 6
    for trial in trials[:3]:
        assert epochs(trial["folder"]) == ["1", "2", "3", "4", "5", "6"]
        log = (trial["folder"] / "trial.log").read_text(encoding="utf-8")
        assert log.count("Training goes on after epoch") == (trial["folder"] in moved)
    best = min(trials, key=lambda trial: trial["value"])
    assert (tmp_path / "sweep" / "best").resolve() == best["folder"].resolve()
    assert (tmp_path / "sweep" / "trials.csv").is_file() and list((tmp_path / "sweep" / "pictures").glob("*.png"))
