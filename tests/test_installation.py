"""What the project says of its own call, its packages and its import path, in a clone and where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

from expman import PROJECT_FOLDER, installation
from tests.support.project import ROOT


def test_a_clone_prints_the_call_that_was_typed(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["experiments_manager.py", "--help"])
    assert installation.program() == "python experiments_manager.py"


def test_a_script_called_by_its_path_is_printed_with_it(monkeypatch, tmp_path):
    script = tmp_path / "a clone" / "experiments_manager.py"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert installation.program() == f"python '{script}'"


@pytest.mark.parametrize("is_on_path", [True, False])
def test_the_installed_program_is_printed_by_its_name_where_the_shell_finds_it(monkeypatch, tmp_path, is_on_path):
    program = tmp_path / "experiments_manager"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if is_on_path else "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert installation.program() == ("experiments_manager" if is_on_path else str(program))


def test_called_from_python_it_says_what_is_beside_the_interpreter_or_where_the_clone_is(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["notebook"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert installation.program() == f"python {ROOT / 'experiments_manager.py'}"
    (tmp_path / "experiments_manager").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "experiments_manager").chmod(0o755)
    assert installation.program() == "experiments_manager"


def test_started_as_an_installed_module_it_says_the_program_beside_the_interpreter(monkeypatch, tmp_path):
    packages = installation.Path(sysconfig.get_path("purelib")).resolve()
    program = tmp_path / "experiments_manager"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "experiments_manager.py").touch()
    monkeypatch.setattr(installation, "PROJECT_FOLDER", packages)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "experiments_manager.py")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert installation.program() == str(program)


def test_packages_of_an_extra_come_from_the_pins_of_the_clone_or_from_the_metadata(monkeypatch, tmp_path):
    assert installation.install_command("ray") == "pip install -r requirements-ray.txt"
    monkeypatch.setattr(installation, "PROJECT_FOLDER", tmp_path)
    monkeypatch.setattr(installation.importlib.metadata, "requires", lambda name: [
        "numpy~=2.4", 'ray[tune]~=2.60; extra == "ray"', "rasterio~=1.4; extra == 'rasterio'"])
    assert installation.install_command("ray") == "pip install 'ray[tune]~=2.60'"


def test_another_process_finds_the_project_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    found = subprocess.run([sys.executable, "-c", "import expman; print(expman.__file__)"], cwd=tmp_path, text=True,
                           capture_output=True, env=installation.child_environment(MARK="1"), check=True)
    assert found.stdout.strip() == str(ROOT / "expman" / "__init__.py")


def test_installed_packages_are_not_put_before_pythons_own_modules(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert installation.import_path() == f"{PROJECT_FOLDER}{os.pathsep}/mine"
    monkeypatch.setattr(installation, "PROJECT_FOLDER", installation.Path(sysconfig.get_path("purelib")).resolve())
    assert installation.import_path() == "/mine"
    monkeypatch.delenv("PYTHONPATH")
    assert "PYTHONPATH" not in installation.child_environment()
