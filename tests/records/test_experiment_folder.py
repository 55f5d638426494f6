"""The experiment's folder: its name, what it refuses, and writing that cannot be half done."""

from __future__ import annotations

import os
import re
from datetime import datetime

import numpy as np
import pytest

from expman.errors import ExperimentFolderError
from expman.records.experiment_folder import ExperimentFolder, read_json, shell_safe, write_atomically, write_json

NOW = datetime(2026, 11, 21, 8, 5, 9)


def create(folder, name="test", hparams=None, now=NOW):
    return ExperimentFolder.create(working_folder=folder, session_name=name, hparams=hparams or {}, now=now)


def test_the_name_tells_session_hparams_and_time(tmp_path):
    folder = create(tmp_path, hparams={"hiddenNeurons": 5, "rate": 0.01, "addNoise": False})
    assert folder.path.name == "test_hiddenNeurons5_rate0.01_addNoiseFalse_2026-11-21--08-05-09"
    assert folder.path.is_dir()


@pytest.mark.parametrize("name", ["my test", "a;b$(c)`d`", "../up", "-rf", "naïve é", "a/b\\c", "'\"*?", "  "])
def test_no_character_of_the_name_needs_escaping(tmp_path, name):
    folder = create(tmp_path, name=name, hparams={"text": "x y|z"})
    assert re.fullmatch(r"[A-Za-z0-9_=][A-Za-z0-9._=-]*", folder.path.name)
    assert folder.path.parent == tmp_path


def test_a_long_name_is_cut_and_keeps_its_time(tmp_path):
    folder = create(tmp_path, name="n" * 200, hparams={"h" * 100: "v" * 200})
    assert len(folder.path.name) == os.pathconf(tmp_path, "PC_NAME_MAX")
    assert folder.path.name.endswith("_2026-11-21--08-05-09")


def test_two_experiments_of_one_second_do_not_collide(tmp_path):
    names = {create(tmp_path, name="n" * 300).path.name for _ in range(5)}
    assert len(names) == 5


def test_a_working_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentFolderError, match="workingFolder '.*file/below' cannot be written"):
        create(tmp_path / "file" / "below")


def test_a_parent_of_experiments_gets_a_hint(tmp_path):
    folder = create(tmp_path)
    folder.settings_file.write_text("")
    folder.write_identity({})
    assert ExperimentFolder.open(folder.path).path == folder.path
    with pytest.raises(ExperimentFolderError, match=f"holds no experiment.*Did you mean '{re.escape(str(folder.path))}'"):
        ExperimentFolder.open(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "state.json"
    write_json(file, {"epoch": 1})

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "{}")
    assert file.read_text() == '{\n  "epoch": 1\n}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_numpy_numbers_of_a_settings_file_are_written(tmp_path):
    write_json(tmp_path / "a.json", {"batch_size": np.int64(3), "rate": np.float32(0.5)})
    assert read_json(tmp_path / "a.json") == {"batch_size": 3, "rate": 0.5}


def test_a_damaged_json_file_is_named(tmp_path):
    folder = create(tmp_path)
    folder.state_file.write_text("{")
    with pytest.raises(ExperimentFolderError, match="state.json cannot be read"):
        folder.read_state()


@pytest.mark.parametrize(("text", "safe"), [("digits", "digits"), ("my model", "my-model"), ("..", "experiment")])
def test_shell_safe(text, safe):
    assert shell_safe(text) == safe
