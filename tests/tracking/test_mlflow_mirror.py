"""What a real MLflow server has of experiments: of complete, interrupted and failed ones, and after it was away itself."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import experiments_manager
from expman import experiment_run
from expman.errors import TrackingError
from expman.records.experiment_folder import ExperimentFolder
from expman.tracking.background_mirror import mirrored
from expman.tracking.tracking_server import TrackingServer
from tests.support.settings_files import write_experiment
from tests.support.sweep_files import read_trials, write_sweep
from tests.support.training_runs import read_metrics

mlflow = pytest.importorskip("mlflow", reason="needs MLflow and its server: pip install -r requirements-test.txt")

from expman.tracking.__main__ import main as send_later  # noqa: E402
from tests.support.mlflow_server import MlflowServer  # noqa: E402

OWN_COLUMNS = ("epoch", "seconds", "learning_rate", "loss", "val_loss", "val_mae", "val_rmse")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server) -> Any:
    return mlflow.MlflowClient(server.address, server.address)


def tracked(server: MlflowServer) -> tuple[str, str]:
    """The replacement that lets an experiment be mirrored."""
    return "n_outputs = 1", f"n_outputs = 1\ntracking_uri = '{server.address}'"


def run_of(client: Any, folder: Path) -> Any:
    return client.get_run(json.loads((folder / "mlflow.json").read_text())["run_id"])


def points(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    """(step, value) of a metric in the order of the steps, each as often as the server has it."""
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))


@pytest.fixture(scope="module")
def experiment(server, tmp_path_factory) -> Path:
    """The folder of an experiment of 2 epochs that was mirrored; it has drawn a picture."""
    folder = tmp_path_factory.mktemp("mirrored")
    file = write_experiment(folder, tracked(server), ('session_name = "line"', 'session_name = "complete"'), added="""

class Drawing(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        import pathlib
        experiment, = pathlib.Path(workingFolder).iterdir()
        (experiment / "drawn.png").write_bytes(b"picture")


def addon_callbacks():
    return [Drawing()]
""")
    return Path(experiments_manager.run(file, {"hiddenNeurons": 8})["sessionFolder"])


def test_the_run_has_name_params_tags_and_status(client, experiment):
    run = run_of(client, experiment)
    assert client.get_experiment(run.info.experiment_id).name == "complete"
    assert (run.info.run_name, run.info.status) == (experiment.name, "FINISHED")
    hparams = {"hiddenNeurons": "8", "learningRate": "0.05", "slope": "2.0", "addNoise": "False", "label": "a"}
    others = {"batch_size": "16", "initial_learning_rate": "0.05", "random_seed": "42", "nbEpoch": "2"}
    assert run.data.params.items() >= (hparams | others).items()
    identity = json.loads((experiment / "experiment.json").read_text())
    assert run.data.tags["folder"] == str(experiment) and run.data.tags["status"] == "finished"
    assert run.data.tags.get("mlflow.source.git.commit") == (identity["git"] or {}).get("commit")
    assert "sweep" not in run.data.tags


def test_the_metrics_are_those_of_the_experiment_by_step_and_the_same_as_without_mirror(client, experiment, trained):
    run, rows = run_of(client, experiment), read_metrics(experiment)
    for name in OWN_COLUMNS:
        assert points(client, run, name) == [(int(row["step"]), float(row[name])) for row in rows], name
    unmirrored = read_metrics(Path(trained["sessionFolder"]))
    assert [{**row, "seconds": ""} for row in rows] == [{**row, "seconds": ""} for row in unmirrored]
    assert points(client, run, "best_val_mae") == [min(points(client, run, "val_mae"), key=lambda point: point[1])]
    assert not (Path(trained["sessionFolder"]) / "mlflow.json").exists()


def test_the_artifacts_are_the_files_of_the_experiment(client, experiment, tmp_path):
    copy = Path(client.download_artifacts(run_of(client, experiment).info.run_id, "", str(tmp_path)))
    for name in ("experiment_settings.py", "experiment_model.py", "experiment.json", "state.json", "metrics.csv"):
        assert (copy / name).read_bytes() == (experiment / name).read_bytes(), name
    assert (copy / "pictures" / "drawn.png").read_bytes() == b"picture"
    assert experiment.name in (copy / "report.html").read_text()


def test_each_version_is_registered_with_its_files(client, experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    versions = {version.tags["version"]: version for version in client.search_model_versions("name = 'complete'")}
    exported = sorted((experiment / "export" / "complete").iterdir())
    assert sorted(versions) == [folder.name for folder in exported] and exported
    for folder in exported:
        version = versions[folder.name]
        assert version.run_id == run_of(client, experiment).info.run_id
        assert version.tags["experiment"] == experiment.name
        copy = Path(mlflow.artifacts.download_artifacts(f"models:/complete/{version.version}",
                                                        dst_path=str(tmp_path / folder.name)))
        files = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert {file.relative_to(copy): file.read_bytes() for file in copy.rglob("*") if file.is_file()} == files


def test_an_interrupted_experiment_goes_on_in_the_same_run_without_a_step_twice(server, client, tmp_path):
    file = write_experiment(tmp_path, tracked(server), ('session_name = "line"', 'session_name = "interrupted"'),
                            ("nbEpoch = 2", "nbEpoch = 4"),
                            ('return {"mae"', 'return {"top@1": tf.constant(float("nan")), "mae"'), added="""

def addon_callbacks():
    from tests.support.training_runs import Interrupt
    return [Interrupt()]
""")
    with pytest.raises(KeyboardInterrupt):
        experiment_run.train(file)
    folder, = (tmp_path / "experiments").iterdir()
    before = run_of(client, folder)
    assert before.info.status == "KILLED" and before.data.tags["status"] == "stopped"
    assert [step for step, _ in points(client, before, "loss")] == [6, 12]
    settings = folder / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("return [Interrupt()]", "return []"))
    experiment_run.restart(str(folder))
    after = run_of(client, folder)
    assert after.info.run_id == before.info.run_id
    assert (after.info.status, after.data.tags["status"]) == ("FINISHED", "finished")
    assert points(client, after, "val_mae") == [(int(row["step"]), float(row["val_mae"])) for row in read_metrics(folder)]
    assert [step for step, _ in points(client, after, "val_loss")] == [6, 12, 18, 24]
    assert all(math.isnan(value) for _, value in points(client, after, "val_top-1"))


def test_a_server_that_dies_does_not_end_the_training_and_gets_what_it_lacks_when_it_is_back(
        server, client, tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "server_control", SimpleNamespace(server=server))
    file = write_experiment(tmp_path, tracked(server), ('session_name = "line"', 'session_name = "outage"'),
                            ("nbEpoch = 2", "nbEpoch = 5"), added="""

def addon_callbacks():
    from server_control import server

    class Control(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                server.stop()
            if epoch == 3:
                time.sleep(0.5)  # the mirror has met that nobody answers
                server.start()

    return [Control()]
""".replace("def addon", "import time\n\n\ndef addon"))
    with caplog.at_level(logging.INFO, logger="expman"):
        folder = Path(experiments_manager.run(file)["sessionFolder"])
    assert json.loads((folder / "state.json").read_text())["status"] == "finished"
    told = [record.getMessage() for record in caplog.records if "MLflow server" in record.getMessage()]
    assert len(told) == 2, told
    # A server that dies in the middle of a request breaks the connection; later it refuses one.
    assert re.search(r"does not take what it is sent \(.+\)\. Training goes on\. It lacks the metrics after step \d", told[0])
    assert f"python -m expman.tracking {folder}" in told[0]
    assert "answers again, and has been sent all that it lacked" in told[1]
    run = run_of(client, folder)
    assert run.info.status == "FINISHED"
    assert points(client, run, "val_mae") == [(int(row["step"]), float(row["val_mae"])) for row in read_metrics(folder)]
    kept = {entry.name for entry in (folder / "export" / "outage").iterdir()}
    assert {version.tags["version"] for version in client.search_model_versions("name = 'outage'")} == kept


def test_a_server_that_does_not_come_back_is_sent_everything_later(server, client, experiment, tmp_path, caplog):
    folder = ExperimentFolder(shutil.copytree(experiment, tmp_path / "late"))
    folder.mirror_file.unlink()
    with mirrored(folder, server=TrackingServer("http://127.0.0.1:9")) as request:
        request()
    told = caplog.records[-1].getMessage()
    assert "was not told of the end of the training (connection refused). It lacks the metrics after step 0" in told
    assert f"python -m expman.tracking {folder.path}" in told
    assert send_later([str(tmp_path)]) == 0
    run = run_of(client, folder.path)
    assert (run.info.run_name, run.info.status) == ("late", "FINISHED")
    assert points(client, run, "loss") == [(int(row["step"]), float(row["loss"])) for row in read_metrics(folder.path)]


def test_a_sweeps_trials_are_runs_and_one_whose_process_died_has_failed(server, client, tmp_path):
    file = write_sweep(
        tmp_path, ('hp.choice("hiddenNeurons", [2, 4, 8])', "[2, 4]"), ('hp.loguniform("learningRate", -7, -1)', "[0.05]"),
        ('"random"', '"grid"'), ("max_trials = 4", "max_trials = 2"), experiment=(tracked(server),),
        experiment_added="""

def addon_callbacks():
    import os, pathlib, signal, time

    class Death(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            while not list(pathlib.Path(sweep).glob("0002*/mlflow.json")):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

    return [Death()] if hparams["hiddenNeurons"] == 4 else []
""" + f"sweep = {str(tmp_path / 'sweep')!r}\n")
    assert experiments_manager.main(["--sweep", str(file)]) == 0
    trials = read_trials(tmp_path)
    assert [trial["status"] for trial in trials] == ["finished", "failed"]
    runs = client.search_runs([client.get_experiment_by_name("sweep").experiment_id], order_by=["tags.trial"])
    assert [run.info.run_name for run in runs] == [trial["folder"].name for trial in trials]
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED"]
    assert [run.data.params["hiddenNeurons"] for run in runs] == ["2", "4"]
    assert all(run.data.tags["sweep"] == str(tmp_path / "sweep") for run in runs)
    assert "SIGKILL" in runs[1].data.tags["reason"]
    assert runs[0].data.metrics["best_val_mae"] == pytest.approx(trials[0]["value"])


def test_a_run_that_the_server_has_lost_is_made_anew(client, experiment):
    lost = run_of(client, experiment)
    client.delete_run(lost.info.run_id)
    assert send_later([str(experiment)]) == 0
    anew = run_of(client, experiment)
    assert anew.info.run_id != lost.info.run_id and anew.info.status == "FINISHED"
    assert points(client, anew, "loss") == [(int(row["step"]), float(row["loss"])) for row in read_metrics(experiment)]


def test_a_deleted_experiment_of_the_server_is_told_before_anything_is_written(server, client, tmp_path):
    number = client.create_experiment("deleted")
    client.delete_experiment(number)
    file = write_experiment(tmp_path, tracked(server), ('session_name = "line"', 'session_name = "deleted"'))
    with pytest.raises(TrackingError, match=f"mlflow experiments restore --experiment-id {number}"):
        experiment_run.train(file)
    assert not (tmp_path / "experiments").exists()
