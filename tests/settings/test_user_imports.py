"""Two experiments in one process import what they would in processes of their own, and the caller keeps what is his."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import experiments_manager
from expman.errors import SettingsError, UserExceptionError
from expman.settings.loading import load_settings
from expman.settings.user_imports import begin_imports, end_imports, imports_of_experiment
from expman.sweeps.sweep_file import load_sweep
from tests.support.settings_files import MODEL, write_experiment


@pytest.fixture(autouse=True)
def caller(monkeypatch):
    """The imports and the import path of each test are its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    end_imports()
    for name in set(sys.modules) - set(before):
        if name.startswith(("helpers_of", "package_of")):
            del sys.modules[name]


def write(folder: Path, files: dict[str, str], *, epochs_from: str, model: str = MODEL) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    return write_experiment(folder, ("nbEpoch = 2", epochs_from), model=model)


def test_two_runs_from_python_train_with_and_record_the_helpers_beside_their_own_settings_file(tmp_path):
    # The second trains one epoch more, and its helper is longer: a stale compiled file could not hide it.
    results = [experiments_manager.run(write(
        tmp_path / name, {"helpers_of_both.py": f"EPOCHS = {epochs}  # {'-' * epochs}\n"},
        epochs_from="from helpers_of_both import EPOCHS as nbEpoch")) for name, epochs in (("first", 1), ("second", 2))]
    assert [result["global_step"] for result in results] == [6, 12]
    kept = [Path(result["sessionFolder"]) / "user_modules" / "helpers_of_both.py" for result in results]
    assert [file.read_text(encoding="utf-8")[:10] for file in kept] == ["EPOCHS = 1", "EPOCHS = 2"]
    assert "helpers_of_both" not in sys.modules and not set(map(str, tmp_path.iterdir())) & set(sys.path)


@pytest.mark.parametrize(("files", "statement"), [
    ({"package_of_both/__init__.py": "from .parts import EPOCHS\n", "package_of_both/parts.py": "EPOCHS = {}\n"},
     "from package_of_both import EPOCHS as nbEpoch"),
    ({"package_of_both/__init__.py": "", "package_of_both/deep/__init__.py": "from ..parts import EPOCHS\n",
      "package_of_both/parts.py": "EPOCHS = {}\n"}, "import package_of_both.deep as deep\nnbEpoch = deep.EPOCHS"),
    ({"package_of_both/parts.py": "EPOCHS = {}\n"}, "from package_of_both.parts import EPOCHS as nbEpoch"),
    ({"lib/helpers_of_both.py": "EPOCHS = {}\n"}, "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), "
     "'lib'))\nfrom helpers_of_both import EPOCHS as nbEpoch")],
    ids=["a package and its relative import", "a relative import from a deeper package", "a folder without __init__",
         "a folder that the settings put on the import path"])
def test_what_both_have_under_one_name_is_each_ones_own(tmp_path, files, statement):
    settings = []
    for name, epochs in (("first", 3), ("second", 44)):
        file = write(tmp_path / name, {path: text.format(epochs) for path, text in files.items()}, epochs_from=statement)
        settings.append(load_settings(file))
        assert set(settings[-1].user_modules()) == set(files)
        assert all(module.is_relative_to(tmp_path / name) for module in settings[-1].user_modules().values())
    assert [each.nbEpoch for each in settings] == [3, 44]


def test_a_model_file_imports_from_beside_itself_although_the_one_before_had_the_same_names(tmp_path):
    model = MODEL.replace("import keras", "import keras\nfrom helpers_of_both import WIDTH", 1)
    models = []
    for name, width in (("first", 3), ("second", 44)):
        file = write(tmp_path / name, {"helpers_of_both.py": f"WIDTH = {width}\n"}, epochs_from="nbEpoch = 2", model=model)
        models.append(load_settings(file).functions["model"])
    assert [model.__globals__["WIDTH"] for model in models] == [3, 44]


def test_a_helper_that_only_the_first_has_is_missing_in_the_second_as_in_a_process_of_its_own(tmp_path):
    statement = "from helpers_of_both import EPOCHS as nbEpoch"
    load_settings(write(tmp_path / "first", {"helpers_of_both.py": "EPOCHS = 3\n"}, epochs_from=statement))
    with pytest.raises(UserExceptionError, match="No module named 'helpers_of_both'"):
        load_settings(write(tmp_path / "second", {}, epochs_from=statement))


def test_an_edited_helper_is_imported_anew_by_the_next_run(tmp_path):
    statement = "from helpers_of_both import EPOCHS as nbEpoch"
    file = write(tmp_path, {"helpers_of_both.py": "EPOCHS = 3\n"}, epochs_from=statement)
    assert load_settings(file).nbEpoch == 3
    write(tmp_path, {"helpers_of_both.py": "EPOCHS = 44\n"}, epochs_from=statement)
    assert load_settings(file).nbEpoch == 44


def test_what_a_notebook_has_imported_is_its_own_again_after_the_run(tmp_path):
    notebook = tmp_path / "notebook"
    notebook.mkdir()
    (notebook / "helpers_of_both.py").write_text("EPOCHS = 7\n", encoding="utf-8")
    sys.path.insert(0, str(notebook))
    own = importlib.import_module("helpers_of_both")
    path = list(sys.path)

    file = write(tmp_path / "experiment", {"helpers_of_both.py": "EPOCHS = 44\n"},
                 epochs_from="from helpers_of_both import EPOCHS as nbEpoch")
    with imports_of_experiment():
        assert load_settings(file).nbEpoch == 44
        assert sys.modules["helpers_of_both"] is not own
    assert importlib.import_module("helpers_of_both") is own and sys.path == path

    beside = write(notebook, {}, epochs_from="from helpers_of_both import EPOCHS as nbEpoch")
    with imports_of_experiment():  # the notebook beside the settings file: the file on the disk counts, which is recorded
        settings = load_settings(beside)
        assert settings.nbEpoch == 7 and set(settings.user_modules()) == {"helpers_of_both.py"}
    assert importlib.import_module("helpers_of_both") is own


def test_a_module_of_the_caller_from_elsewhere_and_an_installed_package_are_shared(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "helpers_of_caller.py").write_text("SEEN = []\n", encoding="utf-8")
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "package_of_all.py").write_text("REGISTRY = []\n", encoding="utf-8")
    sys.path[:0] = [str(elsewhere), str(installed)]
    own = importlib.import_module("helpers_of_caller")
    for number in (1, 2):
        load_settings(write(tmp_path / f"experiment{number}", {}, epochs_from=(
            "import helpers_of_caller, package_of_all\nhelpers_of_caller.SEEN.append(1)\npackage_of_all.REGISTRY.append(1)\n"
            "nbEpoch = 2")))
    assert own.SEEN == [1, 1] and importlib.import_module("package_of_all").REGISTRY == [1, 1]


@pytest.mark.parametrize("how", ["import helpers_of_both", "def lazily():\n    import helpers_of_both"])
def test_two_modules_of_one_name_in_one_experiment_are_an_error_that_names_both(tmp_path, how):
    model = MODEL.replace("import keras", f"import keras\n{how}\n", 1)
    file = write(tmp_path / "settings", {"helpers_of_both.py": "EPOCHS = 3\n"},
                 epochs_from="from helpers_of_both import EPOCHS as nbEpoch\nmodel_file = '../nets/model.py'", model=None)
    file.write_text(file.read_text(encoding="utf-8").replace('model_file = "model.py"\n', ""), encoding="utf-8")
    nets = tmp_path / "nets"
    nets.mkdir()
    (nets / "model.py").write_text(model, encoding="utf-8")
    (nets / "helpers_of_both.py").write_text("WIDTH = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="an experiment holds only one module of a name. Rename one of the two.") as error:
        load_settings(file)
    assert all(str(tmp_path / name / "helpers_of_both.py") in str(error.value) for name in ("settings", "nets"))
    (nets / "helpers_of_both.py").write_text("EPOCHS = 3\n", encoding="utf-8")  # a copy is no conflict
    assert load_settings(file).nbEpoch == 3


def test_two_modules_of_one_name_do_no_harm_when_the_model_file_does_not_ask_for_its_own(tmp_path):
    file = write(tmp_path / "settings", {"helpers_of_both.py": "EPOCHS = 3\n"},
                 epochs_from="from helpers_of_both import EPOCHS as nbEpoch", model=None)
    file.write_text(file.read_text(encoding="utf-8").replace('"model.py"', '"../nets/model.py"'), encoding="utf-8")
    (tmp_path / "nets" / "helpers_of_both").mkdir(parents=True)
    (tmp_path / "nets" / "helpers_of_both" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "nets" / "model.py").write_text(MODEL, encoding="utf-8")
    assert load_settings(file).nbEpoch == 3
    assert sys.modules["helpers_of_both"].EPOCHS == 3


def test_a_sweep_file_gets_what_lies_beside_it(tmp_path):
    names = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helpers_of_both.py").write_text(f"FOLDER = '{name}'\n", encoding="utf-8")
        (tmp_path / name / "s.py").write_text("", encoding="utf-8")
        sweep = tmp_path / name / "mysweep.py"
        sweep.write_text("from helpers_of_both import FOLDER\nexperiment_settings_file = 's.py'\nsweepFolder = FOLDER\n"
                         "algorithm = 'grid'\nspace = {'a': [1]}\nmetric = 'loss'\nmax_trials = 1\n", encoding="utf-8")
        names.append(load_sweep(sweep).folder.name)
    assert names == ["one", "another"]


def test_an_import_path_without_experiment_is_left_alone():
    path = list(sys.path)
    end_imports()
    begin_imports([])
    end_imports()
    assert sys.path == path


@pytest.mark.parametrize("entry", [None, object()])
def test_what_is_no_module_in_the_list_of_modules_harms_nothing(tmp_path, monkeypatch, entry):
    monkeypatch.setitem(sys.modules, "forbidden_or_odd", entry)
    assert load_settings(write_experiment(tmp_path)).nbEpoch == 2
    assert sys.modules["forbidden_or_odd"] is entry
