"""The core without any optional package: what is imported lazily stays so, and a missing one is told with what installs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.support.project import ROOT
from tests.support.settings_files import write_experiment
from tests.support.sweep_files import write_sweep

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"mlflow-skinny": "mlflow", "scikit-image": "skimage", "pytest-xdist": "xdist"}  # of other names than their packages
BLOCKER = '''
import sys
from importlib.machinery import PathFinder

BLOCKED = frozenset(BLOCKED_NAMES)


class WithoutOptionalPackages(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutOptionalPackages
'''


def optional_modules() -> set[str]:
    """The modules of all packages that only extras ask for."""
    extras = PROJECT["optional-dependencies"]
    core = {Requirement(line).name for line in PROJECT["dependencies"]}
    names = {Requirement(line).name for lines in extras.values() for line in lines}
    needed_by_tensorflow = {"setuptools"}
    return {MODULES.get(name, name.lower().replace("-", "_"))
            for name in names - core - needed_by_tensorflow - {PROJECT["name"]}}


@pytest.fixture
def core(tmp_path, monkeypatch):
    """Runs Python code in a process in which optional packages cannot be imported."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(
        BLOCKER.replace("BLOCKED_NAMES", repr(sorted(optional_modules()))), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'blocked'}:{ROOT}")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments):
        return subprocess.run([sys.executable, *map(str, arguments)], cwd=tmp_path, text=True, capture_output=True, timeout=300,
                              check=False)

    return run


def test_optional_are_the_packages_of_the_extras():
    assert optional_modules() >= {"ray", "mlflow", "rasterio", "pytest", "selenium"}
    assert not optional_modules() & {"tensorflow", "hyperopt", "numpy", "matplotlib"}


def test_blocked_packages_cannot_be_imported(core):
    assert "No module named 'rasterio'" in core("-c", "import rasterio").stderr


@pytest.mark.slow
def test_every_module_of_the_project_that_needs_no_extra_can_be_imported(core):
    code = '''
import importlib, pkgutil, data_pipelines, expman, model_zoo
for package in (expman, data_pipelines, model_zoo):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        name = module.name.rpartition(".")[2]
        if name != "__main__" and ".examples." not in module.name and not name.startswith("ray_"):
            importlib.import_module(module.name)
import experiments_manager, experiments_settings_checker, DataProvider_input_pipeline
print("imported")
'''
    done = core("-c", code)
    assert done.stdout.endswith("imported\n"), done.stderr


@pytest.mark.slow
def test_the_core_checks_trains_and_sweeps(core, tmp_path):
    write_sweep(tmp_path, ("max_trials = 4", "max_trials = 1"))
    script = ROOT / "experiments_manager.py"
    checked = core(script, "--check", "--usersettings", "mysettings.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    swept = core(script, "--sweep", "mysweep_line.py")
    assert swept.returncode == 0 and "1 trials\n" in swept.stdout, swept.stdout + swept.stderr


@pytest.mark.parametrize(("added", "arguments", "told"), [
    ("", ["--sweep", "mysweep_line.py", "--engine", "ray"], "pip install -r requirements-ray.txt"),
    ("\ntracking_uri = 'http://127.0.0.1:9'\n", ["--usersettings", "mysettings.py"], "pip install -r requirements-mlflow.txt")])
def test_a_missing_package_is_told_with_what_installs_it(core, tmp_path, added, arguments, told):
    write_sweep(tmp_path)
    write_experiment(tmp_path, added=added)
    done = core(ROOT / "experiments_manager.py", *arguments)
    assert done.returncode != 0 and told in done.stderr and "Traceback" not in done.stderr
