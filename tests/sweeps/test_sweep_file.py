"""Sweep files: what is loaded, what each mistake is told, and that TensorFlow is not needed for that."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from expman.errors import SettingsError, UserExceptionError
from expman.settings.vocabulary import REQUIRED
from expman.sweeps.sweep_file import SWEEP_SETTINGS, load_sweep, sweep_table
from tests.support.project import ROOT
from tests.support.settings_files import line_of

SWEEP = '''\
from hyperopt import hp
from hyperopt.early_stop import no_progress_loss

experiment_settings_file = "mysettings.py"
space = {"x": hp.uniform("x", -5, 5), "kind": hp.choice("kind", ["a", "b"])}
max_trials = 7
'''


def write_sweep(folder: Path, *replacements: tuple[str, str], added: str = "", name: str = "mysweep_line.py") -> Path:
    text = SWEEP
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / "mysettings.py").write_text("import tensorflow\n", encoding="utf-8")
    file = folder / name
    file.write_text(text + added, encoding="utf-8")
    return file


def faults_of(file: Path) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_sweep(file)
    return [str(problem) for problem in error.value.problems]


def test_values_and_defaults_are_attributes(tmp_path):
    file = write_sweep(tmp_path, added='metric = "mae"\nmode = "max"\npruning = "asha"\n')
    sweep = load_sweep(file)
    assert (sweep.max_trials, sweep.metric, sweep.mode, sweep.pruning) == (7, "mae", "max", "asha")
    assert (sweep.algorithm, sweep.random_seed, sweep.max_parallel_trials) == ("tpe", 42, 1)
    assert (sweep.early_stop_fn, sweep.max_failures, sweep.trial_timeout_seconds) == (None, None, None)
    assert sweep.points_to_evaluate == []
    assert sweep.file == file and sweep.settings_file == tmp_path / "mysettings.py"
    assert set(sweep.values) == {setting.name for setting in SWEEP_SETTINGS}
    with pytest.raises(AttributeError, match="'unknown' is not declared"):
        sweep.unknown  # noqa: B018


def test_the_mode_of_the_loss_is_min(tmp_path):
    assert load_sweep(write_sweep(tmp_path)).mode == "min"


@pytest.mark.parametrize(("name", "added", "folder"), [
    ("mysweep_line.py", "", "experiments/sweeps/line"), ("other.py", "", "experiments/sweeps/other"),
    ("other.py", 'sweepFolder = "elsewhere/here"\n', "elsewhere/here")])
def test_the_folder_is_named_after_the_file_or_as_given(tmp_path, name, added, folder):
    assert load_sweep(write_sweep(tmp_path, added=added, name=name)).folder == Path(folder)


def test_the_settings_file_is_found_from_the_current_folder(tmp_path, monkeypatch):
    file = write_sweep(tmp_path)
    (tmp_path / "below").mkdir()
    moved = file.rename(tmp_path / "below" / file.name)
    monkeypatch.chdir(tmp_path)
    assert load_sweep(moved).settings_file.resolve() == tmp_path / "mysettings.py"


def test_a_module_beside_the_file_can_be_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_the_sweep.py").write_text("TRIALS = 11\n", encoding="utf-8")
    file = write_sweep(tmp_path, ("max_trials = 7", "from beside_the_sweep import TRIALS\nmax_trials = TRIALS"))
    assert load_sweep(file).max_trials == 11


def test_loading_needs_no_tensorflow_and_importing_not_even_numpy(tmp_path):
    file = write_sweep(tmp_path)
    code = ("import sys\nfrom expman.sweeps.sweep_file import load_sweep\nassert 'numpy' not in sys.modules\n"
            f"load_sweep({str(file)!r})\nassert 'hyperopt' in sys.modules\nassert 'tensorflow' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path):
    file = write_sweep(tmp_path, ("max_trials = 7", "max_trials = 0"), ('"mysettings.py"', '"nowhere.py"'),
                       added='algoritm = "tpe"\nrandom_seed = "1"\nmetric = "mae"\n')
    errors = faults_of(file)
    assert errors[0] == (f"{file}:4: experiment_settings_file 'nowhere.py' does not exist, neither relative to the sweep file "
                         "nor to the current folder. Correct the path.")
    assert errors[1] == f"{file}:6: max_trials must be an int above 0. Got 0 (int)."
    assert errors[2].startswith(f"{file}:7: algoritm is not a known name. Did you mean algorithm?")
    assert errors[3].endswith("random_seed must be an int of at least 0. Got '1' (str). Remove the quotes.")
    assert "mode must be 'min' or 'max', since metric is 'mae'" in errors[4]
    assert len(errors) == 5


def test_missing_names_are_told_with_what_they_mean(tmp_path):
    file = tmp_path / "mysweep_empty.py"
    file.write_text("", encoding="utf-8")
    errors = faults_of(file)
    assert len(errors) == 3
    for name, error in zip(("experiment_settings_file", "space", "max_trials"), errors):
        assert error.startswith(f"{file}: {name} is missing: it must be ")


def test_a_file_that_is_missing_or_no_python_is_told(tmp_path):
    assert "the sweep file does not exist. Correct the path." in faults_of(tmp_path / "nowhere.py")[0]
    file = write_sweep(tmp_path, added="max_failures = (\n")
    assert faults_of(file)[0].startswith(f"{file}:7: the sweep file is not valid Python.")


def test_an_exception_shows_the_user_his_own_line(tmp_path):
    file = write_sweep(tmp_path, ('hp.uniform("x", -5, 5)', 'hp.uniform("x", 5, -5)'))
    with pytest.raises(UserExceptionError, match="low should be less than high") as error:
        load_sweep(file)
    assert str(error.value).startswith(f"{file}:{line_of(file, 'space')}: ")
    assert "site-packages" not in str(error.value)


@pytest.mark.parametrize(("space", "expected"), [
    ("hp.uniform('x', 0, 1)", "must give a dict from names to values. A sample of it is "),
    ("{'x': [1, 2, 3]}", "holds lists only, which algorithm 'grid' tries"),
    ("{'x': [1, 2], 'y': hp.uniform('y', 0, 1)}", "write hp.choice('x', […])"),
    ("{'x': hp.uniform('x', 0, 1), 'y': hp.uniform('x', 0, 2)}", "uses the label 'x' twice."),
    ("{'x': 3}", "holds no hp expression"),
    ("{'x': hp.choice('k', [{'y': 1}, {'y': 2}]), 'y': 3}", "gives 'y' twice in one sample"),
    ("{'k': hp.choice('k', [{'a': 1}, {'a': hp.choice('c', [1, hp])}])}", "gives 'a' the value <module"),
    ("{3: hp.uniform('x', 0, 1)}", "must have names that are a str. Got [3]."),
    ("{'x': hp.uniform('x', 'a', 'b')}", "cannot be searched by hyperopt's tpe: "),
    ("{}", "must be a dict from names to hyperopt expressions"),
    ("7", "must be a dict from names to hyperopt expressions")])
def test_faults_of_the_space_are_told_at_its_line(tmp_path, space, expected):
    file = write_sweep(tmp_path, ('{"x": hp.uniform("x", -5, 5), "kind": hp.choice("kind", ["a", "b"])}', space))
    (error,) = faults_of(file)
    assert error.startswith(f"{file}:5: space ") and expected in error


@pytest.mark.parametrize(("space", "expected"), [
    ("{'x': [1, 2], 'y': 3}", "must give 'y' a list of values, since algorithm is 'grid'. Got 3 (int)."),
    ("{'x': hp.uniform('x', 0, 1)}", "must give 'x' a list of values, since algorithm is 'grid'. Got a hyperopt expression."),
    ("{'x': []}", "gives 'x' an empty list."), ("{'x': [1, 1]}", "gives 'x' a value twice"),
    ("{'x': [[1, 2]]}", "must give 'x' a list of bool, int, float, str or None."),
    ("{3: [1]}", "must have names that are a str."),
    ("hp.choice('x', [{'x': 1}])", "must be a dict from names to lists, since algorithm is 'grid'.")])
def test_faults_of_a_grid_are_told(tmp_path, space, expected):
    file = write_sweep(tmp_path, ('{"x": hp.uniform("x", -5, 5), "kind": hp.choice("kind", ["a", "b"])}', space),
                       added='algorithm = "grid"\n')
    (error,) = faults_of(file)
    assert error.startswith(f"{file}:5: space ") and expected in error


@pytest.mark.parametrize(("point", "expected"), [
    ({"x": 1.0, "knd": 0}, "[1] names 'knd', which is no label of the space. Did you mean 'kind'?"),
    ({"x": 1.0}, "[1] lacks a value for 'kind'. Add it."),
    ({"x": 6, "kind": 0}, "[1] gives 'x' a value that must lie in -5 … 5. Got 6."),
    ({"x": "1", "kind": 0}, "[1] gives 'x' a value that must be a number"),
    ({"x": 0, "kind": "a"}, "[1] gives 'kind' a value that must be a number (for hp.choice the index of an option)."),
    ({"x": 0, "kind": 2}, "[1] gives 'kind' a value that must lie in 0 … 1. Got 2."),
    ({"x": 0, "kind": 0.5}, "[1] gives 'kind' a value that must be an int from 0 to 1. Got 0.5.")])
def test_faults_of_first_points_are_told(tmp_path, point, expected):
    file = write_sweep(tmp_path, added=f"points_to_evaluate = [{{'x': 1, 'kind': 1}}, {point!r}]\n")
    (error,) = faults_of(file)
    assert error.startswith(f"{file}:7: points_to_evaluate ") and expected in error


def test_atpe_without_its_packages_tells_what_to_install(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name, *rest: None if name == "lightgbm" else find_spec(name, *rest))
    file = write_sweep(tmp_path, added='algorithm = "atpe"\n')
    assert faults_of(file) == [f"{file}:7: algorithm 'atpe' needs packages that are not installed. Run `pip install lightgbm`"
                               ", or set it to 'tpe'."]


def test_atpe_refuses_what_it_cannot_search(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: object())
    file = write_sweep(tmp_path, ('hp.choice("kind", ["a", "b"])', 'hp.pchoice("kind", [(0.1, "a"), (0.9, "b")])'),
                       added='algorithm = "atpe"\n')
    (error,) = faults_of(file)
    assert "Unsupported hyperopt domain type" in error
    assert error.endswith("Set algorithm = 'tpe', which takes more expressions.")


@pytest.mark.parametrize("setting", SWEEP_SETTINGS, ids=lambda setting: setting.name)
def test_defaults_are_accepted_and_the_table_has_every_name(setting):
    assert setting.default is REQUIRED or setting.kind.error(setting.default) is None
    assert setting.kind.error(object()).startswith(f"must be {setting.kind.expectation}. Got ")
    assert f"| `{setting.name}` | {setting.kind.expectation}" in sweep_table()


@pytest.mark.parametrize("name", ["curve_fitting", "digits"])
def test_the_shipped_sweeps_load(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = load_sweep(ROOT / "examples" / "hyperopt" / f"mysweep_{name}.py")
    assert sweep.settings_file.resolve().name == f"mysettings_{name}.py"
    assert sweep.folder == Path("experiments/sweeps") / name
