"""Files beside the user's modules: kept in the experiment's folder, found again; settings that come out otherwise later."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from expman import experiment_run
from expman.errors import SettingsError, UserCodeError
from expman.records.experiment_folder import ExperimentFolder
from expman.settings.loading import load_settings
from expman.settings.user_imports import end_imports
from tests.support.project import ROOT
from tests.support.settings_files import line_of, write_experiment
from tests.support.training_runs import read_metrics

BESIDE = '''
import json
import os
from pathlib import Path
HERE = Path(__file__).parent
CONFIG = json.load(open(HERE / "config.json"))
for other in (".env", "large.bin", "data/sample.txt"):
    if (HERE / other).exists():
        open(HERE / other).close()
from names_beside.names import NAMES as reference_labels
plateau_factor = CONFIG["factor"]
batch_size = int(os.environ.get("TEST_BATCH_SIZE", "16"))
raw_data_dir_val = str(HERE / "data")
user_files = ["weights"]
'''
MODEL = '''
from pathlib import Path
import h5py
import keras
HERE = Path(__file__).parent


def model(data, n_outputs, hparams):
    neurons = int((HERE / "neurons.txt").read_text())
    first = keras.layers.Dense(neurons, use_bias=False, trainable=False, name="first")
    hidden = first(data)
    with h5py.File(HERE / "weights" / "first.h5") as weights:
        first.set_weights([weights["kernel"][:]])
    return {"code": hidden, "prediction": keras.layers.Dense(n_outputs)(hidden)}
'''
KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
KEPT = {"config.json", "neurons.txt", "names_beside/labels.txt", "weights/first.h5"}


def write_project(folder: Path) -> Path:
    for name in ("weights", "names_beside", "data"):
        (folder / name).mkdir(parents=True)
    with h5py.File(folder / "weights" / "first.h5", "w") as file:
        file["kernel"] = KERNEL
    for name, text in {"config.json": '{"factor": 0.25}', "neurons.txt": "4", "names_beside/labels.txt": "height",
                       "names_beside/names.py": "from pathlib import Path\n"
                       "NAMES = [Path(__file__).with_name('labels.txt').read_text()]\n",
                       ".env": "secret", "data/sample.txt": "data"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    with open(folder / "large.bin", "wb") as file:
        file.truncate(100 * 2**20 + 1)
    return write_experiment(folder, added=BESIDE, model=MODEL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A project's folder and the experiment that it trained, outside it."""
    folder = tmp_path_factory.mktemp("user_files") / "project"
    settings = write_project(folder)
    settings.write_text(settings.read_text().replace(str(folder / "experiments"), str(folder.parent / "experiments")))
    return folder, Path(experiment_run.train(settings)["sessionFolder"])


@pytest.fixture
def moved(run, tmp_path, monkeypatch):
    """A copy of the experiment, whose record names a copy of the project: the test may change both."""
    project, experiment = (shutil.copytree(folder, tmp_path / folder.name) for folder in run)
    record = experiment / "experiment.json"
    record.write_text(record.read_text().replace(str(run[0]), str(project)))
    for name in ("names_beside", "names_beside.names"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return project, experiment


def test_what_the_modules_read_and_what_is_named_is_kept_but_neither_data_nor_hidden_nor_large_files(run):
    project, experiment = run
    kept = {str(path.relative_to(experiment / "user_modules")) for path in (experiment / "user_modules").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}
    assert kept == KEPT | {"names_beside/names.py"}
    assert json.loads((experiment / "experiment.json").read_text())["user_files"] == {name: str(project / name) for name in KEPT}


def test_a_training_goes_on_without_the_folder_that_it_started_in(moved):
    project, experiment = moved
    shutil.rmtree(project)
    code = "import sys; from expman import experiment_run; experiment_run.restart(sys.argv[1], num_epochs=3)"
    done = subprocess.run([sys.executable, "-c", code, str(experiment)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in read_metrics(experiment)] == ["1", "2", "3"]


def test_a_file_that_is_gone_is_read_from_its_copy(moved, caplog):
    project, experiment = moved
    shutil.rmtree(project / "weights")
    settings = experiment_run.load_experiment(ExperimentFolder(experiment))
    outputs = settings.call("model", data=keras.Input([3]), n_outputs=1, hparams=settings.hparams)
    np.testing.assert_array_equal(keras.Model(outputs["code"]._keras_history.operation.input, outputs["code"])
                                  .get_layer("first").get_weights()[0], KERNEL)
    assert f"{project / 'weights' / 'first.h5'} does not exist any more" in caplog.text


def test_imported_modules_find_by_their_own_place_what_lies_above_the_project(moved):
    """Data outside the project are not kept; the copy of a module that names them by `__file__` still finds them."""
    project, experiment = moved
    (project.parent / "above.txt").write_text("width")
    for folder in (project, experiment / "user_modules"):
        names = folder / "names_beside" / "names.py"
        names.write_text("from pathlib import Path\nNAMES = [(Path(__file__).parents[2] / 'above.txt').read_text()]\n")
    (project / "names_beside" / "names.py").write_text("raise SystemExit('the copy must be executed')")
    settings = experiment_run.load_experiment(ExperimentFolder(experiment))
    assert settings.reference_labels == ["width"]
    module = sys.modules["names_beside.names"]
    assert module.__file__ == str(project / "names_beside" / "names.py")
    end_imports()
    assert "names_beside.names" not in sys.modules


def test_an_imported_module_says_the_place_of_its_copy_where_a_kept_file_is_gone(moved):
    project, experiment = moved
    (project / "names_beside" / "labels.txt").unlink()
    settings = experiment_run.load_experiment(ExperimentFolder(experiment))
    assert settings.reference_labels == ["height"]
    assert sys.modules["names_beside.names"].__file__ == str(experiment / "user_modules" / "names_beside" / "names.py")


def test_files_that_are_there_are_read_where_they_are_and_a_change_is_told(moved, caplog):
    project, experiment = moved
    (project / "config.json").write_text('{"factor": 0.5}')
    settings = experiment_run.load_experiment(ExperimentFolder(experiment))
    assert settings.functions["model"].__globals__["__file__"] == str(project / "model.py")
    assert settings.plateau_factor == 0.5
    assert f"{project / 'config.json'} has changed since the experiment started" in caplog.text
    assert "plateau_factor is 0.5 now and was 0.25." in caplog.text


def test_settings_that_came_out_otherwise_are_named_with_both_values(moved, caplog, monkeypatch):
    project, experiment = moved
    record = experiment / "experiment.json"
    monkeypatch.setenv("TEST_BATCH_SIZE", "8")
    experiment_run.load_experiment(ExperimentFolder(experiment))
    warning = next(text for text in caplog.messages if "gives other settings" in text)
    assert "started: batch_size is 8 now and was 16. " in warning.replace(
        f"; raw_data_dir_val is {str(project / 'data')!r} now", "")
    assert json.loads(record.read_text())["settings"]["batch_size"] == 16


def test_a_named_file_that_is_not_there_is_told_with_its_line(tmp_path):
    file = write_project(tmp_path / "project")
    file.write_text(file.read_text().replace('["weights"]', '["weights", "nowhere.h5", "../outside.txt"]'))
    (tmp_path / "outside.txt").write_text("")
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    place = f"{file}:{line_of(file, 'user_files')}"
    assert [problem.place for problem in caught.value.problems] == [place, place]
    assert "'nowhere.h5'" in str(caught.value) and "'../outside.txt'" in str(caught.value)


def test_an_error_in_compiled_code_names_the_users_line(tmp_path):
    file = write_project(tmp_path / "project")
    settings = load_settings(file)
    (tmp_path / "project" / "weights" / "first.h5").unlink()
    with pytest.raises(UserCodeError) as caught:
        settings.call("model", data=keras.Input([3]), n_outputs=1, hparams=settings.hparams)
    model = tmp_path / "project" / "model.py"
    assert str(caught.value).startswith(f"{model}:{line_of(model, '    with h5py.File')}: model raised an exception.")
    assert ".pyx" not in str(caught.value)
