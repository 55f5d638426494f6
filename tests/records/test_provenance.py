"""What an experiment records of where it comes from, in a real git repository."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import experiments_manager
from expman.records.provenance import git_state
from tests.support.settings_files import write_experiment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path):
    """A repository with committed settings that lie in a folder of it, outside this project's own."""
    folder = tmp_path / "repository"
    (folder / "settings").mkdir(parents=True)
    write_experiment(folder / "settings")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "settings")
    return folder


def test_an_experiment_can_be_repeated_from_its_record(repository, tmp_path):
    """The recorded commit with the recorded diff gives the files that were run."""
    file = repository / "settings" / "mysettings.py"
    file.write_text(file.read_text().replace("nbEpoch = 2", "nbEpoch = 1"))
    (repository / "settings" / "model.py").write_text("# more\n" + (repository / "settings" / "model.py").read_text())
    experiment = Path(experiments_manager.run(file, {"hiddenNeurons": 3})["sessionFolder"])
    recorded = json.loads((experiment / "experiment.json").read_text())
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "checkout", "--quiet", recorded["git"]["commit"])
    (tmp_path / "diff").write_text(recorded["git"]["diff"])
    git(clone, "apply", str(tmp_path / "diff"))
    assert (clone / "settings" / "mysettings.py").read_bytes() == (experiment / "experiment_settings.py").read_bytes()
    assert (clone / "settings" / "model.py").read_bytes() == (experiment / "experiment_model.py").read_bytes()
    assert recorded["git"]["diff_is_cut"] is False
    assert recorded["hparams"]["hiddenNeurons"] == {"value": 3, "origin": "python"}
    assert recorded["hparams"]["slope"] == {"value": 2.0, "origin": "settings file"}


def test_an_experiment_records_command_packages_and_machine(trained):
    recorded = json.loads((Path(trained["sessionFolder"]) / "experiment.json").read_text())
    assert recorded["command"] == sys.argv
    assert recorded["current_folder"] == os.getcwd()
    assert recorded["python"] == platform.python_version()
    assert {name: recorded["packages"][name] for name in ("tensorflow", "keras", "numpy")} == {
        name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    assert recorded["machine"]["cores"] == os.cpu_count() and recorded["machine"]["processor"]
    assert isinstance(recorded["machine"]["accelerators"], list)


def test_hyperparameters_of_the_command_line_are_recorded_as_such(tmp_path, script):
    answer = script("--usersettings", write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 1")), "--hparams", "slope=3.0")
    assert answer.returncode == 0, answer.stderr
    recorded = json.loads(next((tmp_path / "experiments").glob("*/experiment.json")).read_text())
    assert recorded["hparams"]["slope"] == {"value": 3.0, "origin": "command line"}
    assert recorded["command"][1:] == ["--usersettings", str(tmp_path / "mysettings.py"), "--hparams", "slope=3.0"]


def test_a_clean_repository_has_an_empty_diff(repository):
    state = git_state(repository / "settings")
    assert state == {"commit": git(repository, "rev-parse", "HEAD").strip(), "diff": "", "diff_is_cut": False}


def test_a_very_long_diff_is_cut_and_marked(repository, monkeypatch):
    monkeypatch.setattr("expman.records.provenance._LONGEST_DIFF_CHARACTERS", 10)
    (repository / "settings" / "model.py").write_text("x" * 100)
    state = git_state(repository)
    assert len(state["diff"]) == 10 and state["diff_is_cut"] is True


def test_outside_a_repository_and_without_git_there_is_no_state(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None
