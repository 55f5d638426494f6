"""`experiment.json` of older programs is read with defaults, of newer ones refused with words."""

from __future__ import annotations

import json

import pytest

from expman.errors import ExperimentFolderError
from expman.records.experiment_folder import ExperimentFolder
from expman.settings.contract import SETTINGS
from expman.settings.vocabulary import REQUIRED


def folder_with(tmp_path, content):
    (tmp_path / "experiment.json").write_text(json.dumps(content))
    return ExperimentFolder(tmp_path)


def test_an_older_file_has_the_default_of_each_setting_and_part_that_it_lacks(tmp_path):
    identity = folder_with(tmp_path, {"name": "old", "settings": {"batch_size": 16, "nbEpoch": 9}}).read_identity()
    assert identity["settings"] == {"batch_size": 16, "nbEpoch": 9} | {
        setting.name: setting.default for setting in SETTINGS if setting.default is not REQUIRED}
    assert identity["name"] == "old" and identity["hparam_overrides"] == {} and identity["user_files"] == {}


def test_what_is_recorded_stays_whatever_the_default(tmp_path):
    identity = folder_with(tmp_path, {"settings": {"random_seed": None, "serve_on_gpu": True}, "git": {"commit": "1a"}}
                           ).read_identity()
    assert identity["settings"]["random_seed"] is None and identity["settings"]["serve_on_gpu"] is True
    assert identity["git"] == {"commit": "1a"}


def test_what_is_written_has_todays_number(tmp_path):
    folder = folder_with(tmp_path, {"settings": {}})
    folder.write_identity(folder.read_identity())
    content = json.loads(folder.identity_file.read_text())
    assert next(iter(content.items())) == ("format", 1)
    assert folder.read_identity() == content


def test_a_newer_format_is_refused_with_the_remedy(tmp_path):
    folder = folder_with(tmp_path, {"format": 2, "settings": {}})
    with pytest.raises(ExperimentFolderError, match=r"experiment.json has format 2; this program reads formats up to 1. Update"):
        folder.read_identity()


@pytest.mark.parametrize("number", ["1", None, -1, True, 1.5])
def test_a_format_that_is_no_number_is_told(tmp_path, number):
    with pytest.raises(ExperimentFolderError, match="experiment.json must have a whole number as 'format'. Got "):
        folder_with(tmp_path, {"format": number, "settings": {}}).read_identity()


@pytest.mark.parametrize("content", [{}, {"settings": None}, {"settings": [1]}])
def test_a_file_without_settings_is_told(tmp_path, content):
    with pytest.raises(ExperimentFolderError, match="experiment.json holds no settings. Restore it"):
        folder_with(tmp_path, content).read_identity()
