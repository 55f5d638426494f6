"""Folders that an earlier program wrote are restarted, served, evaluated and compared by the program of today."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman.records.experiment_folder import ExperimentFolder
from expman.settings.contract import default_settings
from expman.tracking.run_content import RunContent
from tests.support.processes import start_script
from tests.support.project import ROOT
from tests.support.sweep_files import read_trials, write_sweep

FORMAT_1 = ROOT / "tests" / "data" / "experiment_format_1"
KINDS = ("format 1", "older than the numbers")
YOUNGER_PARTS = ("format", "user_files", "data_statistics", "baseline")


def copy_of(kind, parent):
    """A folder that can be changed."""
    folder = Path(shutil.copytree(FORMAT_1, parent / kind.replace(" ", "_")))
    if kind != "format 1":
        change_identity(folder, older)
    return folder


def older(identity):
    """The content of an `experiment.json` from before the numbers, which lacks each setting that has a default."""
    return {**{name: value for name, value in identity.items() if name not in YOUNGER_PARTS},
            "settings": {name: value for name, value in identity["settings"].items() if name not in default_settings()}}


def change_identity(folder, change):
    file = folder / "experiment.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def manager(*arguments):
    return experiments_manager.main([str(argument) for argument in arguments])


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    return copy_of(request.param, tmp_path)


def rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_folder_is_small_and_knows_no_machine():
    files = [file for file in FORMAT_1.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 300_000
    for file in files:
        assert not re.search(rb"/(home|root|tmp|work|Users)/", file.read_bytes()), file


def test_it_is_restarted_and_goes_on(folder):
    before = rows(folder)
    assert manager("--restart_interrupted", "--model_dir", folder, "--nbEpoch", 3) == 0
    after = rows(folder)
    assert after[:2] == before and [row["epoch"] for row in after] == ["1", "2", "3"]
    assert float(after[2]["val_loss"]) < float(after[1]["val_loss"])
    assert ExperimentFolder(folder).exported_model()[1].name == "line" and (folder / "export" / "line" / "3").is_dir()
    assert json.loads((folder / "experiment.json").read_text())["format"] == 1


def test_it_is_served_and_its_client_asks(folder, capfd):
    with start_script("--start_server", "--model_dir", folder, "--serving_engine", "embedded", "--port", "0") as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            assert lines[1].startswith("serving 'line' version 2"), process.stderr.read()
            assert manager("--predict", "--model_dir", folder, "--predict_stream", "-1") == 0
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    printed = json.loads(re.search(r"answers (\[.*\])", capfd.readouterr().out)[1])
    signature = tf.saved_model.load(str(FORMAT_1 / "export" / "line" / "2")).signatures["prediction"]
    expected = [float(signature(x=tf.fill([1, 3], float(number)))["prediction"][0, 0]) for number in (1, 2, 3)]
    np.testing.assert_allclose(printed, expected, atol=1e-3)


def test_it_is_evaluated_as_it_was_then(folder):
    assert manager("--evaluate", "--model_dir", folder) == 0
    record = json.loads((folder / "evaluation.json").read_text())
    recorded = json.loads((FORMAT_1 / "state.json").read_text())["best_metrics"]
    assert record["metrics"].keys() == recorded.keys()
    for name, value in recorded.items():
        assert record["metrics"][name] == pytest.approx(value, rel=1e-4)


def test_it_is_compared_and_reported(folder, tmp_path, capsys):
    assert manager("--compare", folder) == 0
    assert "finished" in capsys.readouterr().out
    assert manager("--report", folder) == 0
    page = (folder / "report.html").read_text()
    assert "status-finished\">" in page and "hiddenNeurons" in page


def test_an_older_folder_differs_from_a_newer_one_in_no_setting_that_it_lacks(tmp_path, capsys):
    assert manager("--diff", *(copy_of(kind, tmp_path) for kind in KINDS)) == 0
    assert re.search(r"^no difference in: .*\bsettings\b", capsys.readouterr().out, re.MULTILINE)


def test_it_is_mirrored(folder):
    content = RunContent(ExperimentFolder(folder))
    assert content.experiment_name == "line" and content.params()["hiddenNeurons"] == "4"
    assert content.tags()["session_name"] == "line" and content.end()[0] == "FINISHED"


@pytest.mark.parametrize("command", ["--restart_interrupted", "--start_server", "--evaluate", "--predict"])
def test_a_folder_of_a_newer_format_is_refused_with_words(tmp_path, capsys, command):
    folder = copy_of("format 1", tmp_path)
    change_identity(folder, lambda identity: {**identity, "format": 2})
    assert manager(command, "--model_dir", folder) == 1
    assert "has format 2; this program reads formats up to 1. Update the program" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["--compare", "--report"])
def test_comparisons_and_reports_say_of_it_what_is_wrong(tmp_path, capsys, command):
    folder = copy_of("format 1", tmp_path)
    change_identity(folder, lambda identity: {**identity, "format": 2})
    assert manager(command, folder) == 0
    page = folder / "report.html"
    assert "has format 2" in capsys.readouterr().out + (page.read_text() if page.exists() else "")


def test_a_sweep_goes_on_with_a_trial_of_an_older_folder(tmp_path):
    sweep_file = write_sweep(tmp_path, ("max_trials = 4", "max_trials = 1"))
    assert manager("--sweep", sweep_file) == 0
    trial, = read_trials(tmp_path)
    folder = trial.pop("folder")
    (folder / "trial.json").write_text(json.dumps({**trial, "status": "running", "value": None}))
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "status": "training"}))
    change_identity(folder, older)
    assert manager("--sweep", sweep_file) == 0
    again, = read_trials(tmp_path)
    assert (again["status"], again["number"], again["folder"]) == ("finished", 1, folder)
    assert again["value"] == pytest.approx(trial["value"])
    assert json.loads((folder / "experiment.json").read_text())["format"] == 1
