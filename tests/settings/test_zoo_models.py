"""`model_file = "zoo:NAME"`: every model of the zoo by its name, and an experiment with one from start to comparison."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

import experiments_manager
from expman import __version__
from expman import experiment_run as commands
from expman.errors import SettingsError, UserCodeError
from expman.records.experiment_folder import ExperimentFolder
from expman.reports.compare.experiment_diff import diff
from expman.reports.experiment_records import read_record
from expman.reports.page.report_facts import provenance_facts
from expman.settings.loading import load_settings
from tests.support.project import ROOT
from tests.support.settings_files import MODEL, line_of, write_experiment

PAGE = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Losses")[0], re.MULTILINE)


def with_model(folder: Path, name: str) -> Path:
    """A settings file that names a model, without a model file beside it."""
    return write_experiment(folder, ('model_file = "model.py"', f'model_file = "{name}"'), model=None)


def test_the_page_of_the_zoo_lists_the_models():
    assert len(NAMES) == 14 and "mlp" in NAMES and "unet_3d" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_model_of_the_zoo_is_found_by_its_name(tmp_path, name):
    settings = load_settings(with_model(tmp_path, f"zoo:{name}"))
    assert settings.model_file == ROOT / "model_zoo" / f"{name}.py"
    assert inspect.getsourcefile(settings.functions["model"]) == str(ROOT / "model_zoo" / f"{name}.py")


@pytest.mark.parametrize(("name", "question"), [
    ("zoo:mpl", "Did you mean 'zoo:mlp'?"), ("zoo:unet_2d.py", "Did you mean 'zoo:unet_2d'?"), ("zoo:", ""),
    ("zoo:checked_hparams", ""), ("zoo:../model_zoo/mlp", "")])
def test_an_unknown_name_is_told_with_those_that_exist(tmp_path, name, question):
    file = with_model(tmp_path, name)
    with pytest.raises(SettingsError) as told:
        load_settings(file)
    text = str(told.value)
    assert f"mysettings.py:{line_of(file, 'model_file')}: model_file '{name}': the zoo has no model" in text
    assert question in text and all(known in text for known in NAMES)


def test_the_folders_of_the_zoo_do_not_hide_the_users_own(tmp_path):
    (tmp_path / "layers.py").write_text("MINE = True\n", encoding="utf-8")
    file = with_model(tmp_path, "zoo:mlp")
    file.write_text(f"import layers\nassert layers.MINE\n{file.read_text()}", encoding="utf-8")
    assert "layers.py" in load_settings(file).user_modules()


def test_an_error_in_a_model_of_the_zoo_is_told_with_its_line(tmp_path):
    settings = load_settings(with_model(tmp_path, "zoo:mlp"))
    with pytest.raises(UserCodeError, match=r"checked_hparams\.py:\d+: model raised") as told:
        settings.call("model", data=None, n_outputs=1, hparams={"hiddenNeurons": -1}, mode="train")
    assert "mlp.py" in str(told.value)


@pytest.mark.slow
def test_an_experiment_keeps_its_copy_and_goes_on_from_it(tmp_path):
    result = experiments_manager.run(with_model(tmp_path, "zoo:mlp"))
    folder = ExperimentFolder(Path(result["sessionFolder"]))
    assert folder.model_file.read_bytes() == (ROOT / "model_zoo" / "mlp.py").read_bytes()
    identity = folder.read_identity()
    assert identity["settings"]["model_file"] == "zoo:mlp" and identity["experiments_manager"] == __version__
    facts = {fact.name: fact.text for fact in provenance_facts([read_record(folder.path)])}
    assert facts["model file"].startswith("zoo:mlp, ") and facts["experiments manager"] == __version__

    copy = tmp_path / "copy"
    shutil.copytree(folder.path, copy)
    assert commands.restart(str(copy), num_epochs=3)["global_step"] > result["global_step"]
    (copy / "experiment_model.py").write_text(MODEL, encoding="utf-8")
    differences = diff(folder.path, copy)
    assert "model file" in differences and 'activation="tanh"' in differences
