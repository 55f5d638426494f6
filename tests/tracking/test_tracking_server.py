"""Which MLflow server is taken, and what is told of one that cannot be."""

from __future__ import annotations

import http.server
import importlib.util
import json
import socket
import threading

import pytest

import experiments_manager
from expman.errors import TrackingError
from expman.records.experiment_folder import ExperimentFolder
from expman.tracking.run_content import RunContent, key
from expman.tracking.tracking_server import TrackingServer
from tests.support.settings_files import write_experiment
from tests.support.sweep_files import write_sweep

needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None,
                                  reason="needs MLflow: pip install -r requirements-mlflow.txt")


@pytest.fixture
def dead_address() -> str:
    """An address at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(("address", "message"), [
    ("mlruns", "tracking_uri = 'mlruns' is a folder, and MLflow no longer keeps runs in folders. Start a server"),
    ("/data/mlruns", "is a folder"), ("file:///data/mlruns", "is a folder"),
    ("localhost:5000", "must be the address of an MLflow server or database: it begins with one of http:, https:"),
    ("127.0.0.1:5000", "Write e.g. http://127.0.0.1:5000."), ("htp://127.0.0.1:5000", "it begins with one of http:")])
def test_what_is_no_address_is_refused_with_the_remedy(address, message):
    with pytest.raises(TrackingError) as error:
        TrackingServer(address)
    assert message in str(error.value)


def test_without_mlflow_the_install_line_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrackingError, match="is not installed. Run `pip install -r requirements-mlflow.txt`"):
        TrackingServer("http://127.0.0.1:5000")
    assert not TrackingServer("").is_named  # nothing of MLflow is needed


def test_the_setting_goes_before_the_environment(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:1")
    assert TrackingServer("").public_uri == "http://environment:1"
    assert TrackingServer("http://setting:1").public_uri == "http://setting:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    with pytest.raises(TrackingError, match="The environment variable MLFLOW_TRACKING_URI = 'mlruns' is a folder"):
        TrackingServer("")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not TrackingServer("").is_named


def test_a_password_is_shown_nowhere(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    server = TrackingServer("https://me:secret@example.org:5000/mlflow")
    assert server.public_uri == "https://example.org:5000/mlflow"
    assert "secret" not in server.run_page(experiment_id="1", run_id="2")
    with pytest.raises(TrackingError) as error:
        TrackingServer("ftp://me:secret@example.org")
    assert "secret" not in str(error.value)


@needs_mlflow
def test_a_server_that_does_not_answer_is_told_before_anything_is_written(tmp_path, dead_address, capsys):
    file = write_experiment(tmp_path, ("n_outputs = 1", f"n_outputs = 1\ntracking_uri = '{dead_address}'"))
    assert experiments_manager.main(["--usersettings", str(file)]) == 2
    told = capsys.readouterr().err
    assert f"tracking_uri = '{dead_address}' does not answer as an MLflow server: connection refused. Start it" in told
    assert "Traceback" not in told and not (tmp_path / "experiments").exists()


@needs_mlflow
def test_a_sweep_asks_before_its_first_trial(tmp_path, dead_address, capsys):
    file = write_sweep(tmp_path, experiment=(("n_outputs = 1", f"n_outputs = 1\ntracking_uri = '{dead_address}'"),))
    assert experiments_manager.main(["--sweep", str(file)]) == 2
    assert f"'{dead_address}' does not answer as an MLflow server" in capsys.readouterr().err
    assert not list((tmp_path / "sweep").glob("0*"))


@needs_mlflow
def test_a_server_of_another_kind_is_told():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            with pytest.raises(TrackingError, match="does not answer as an MLflow server: "):
                TrackingServer(f"http://127.0.0.1:{other.server_port}").check(experiment_name="any")
        finally:
            other.shutdown()


@pytest.mark.parametrize(("state", "trial", "expected"), [
    ("finished", None, ("FINISHED", "finished")), ("failed", None, ("FAILED", "failed")),
    ("stopped", None, ("KILLED", "stopped")), ("training", None, ("KILLED", "interrupted")),
    ("pruned", "pruned", ("KILLED", "pruned")),
    ("training", "failed", ("FAILED", "failed")), ("stopped", "failed", ("FAILED", "failed"))])
def test_the_status_of_the_run_tells_how_the_training_ended(tmp_path, state, trial, expected):
    (tmp_path / "experiment.json").write_text('{"settings": {}}')
    (tmp_path / "state.json").write_text(json.dumps({"status": state, "stop_reason": "why"}))
    if trial:
        (tmp_path / "trial.json").write_text(json.dumps({"status": trial, "reason": "why"}))
    assert RunContent(ExperimentFolder(tmp_path)).end()[:2] == expected


def test_names_are_made_such_that_mlflow_takes_them():
    names = {"val_mae": "val_mae", "top@1": "top-1", "IoU (car)": "IoU -car-", "a//b": "a-/b", "/x": "-x"}
    assert {name: key(name) for name in names} == names
