"""The wheel in an environment of its own: a stranger's way through all commands, from an empty folder, without the clone."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import expman
from tests.support.installed_package import InstalledPackage, build_wheel, install
from tests.support.project import ROOT
from tests.support.serving_models import free_port
from tests.support.settings_files import write_experiment
from tests.support.sweep_files import SWEEP

pytestmark = pytest.mark.slow
pytest.importorskip("setuptools", minversion="77", reason="builds the wheel: pip install -r requirements-test.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def package(wheel, tmp_path_factory) -> InstalledPackage:
    return install(wheel, folder=tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that holds a settings file and nothing else; its model is one of the zoo."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_experiment(folder, ('model_file = "model.py"', 'model_file = "zoo:mlp"'), model=None,
                     added="\nfrom DataProvider_input_pipeline import table  # noqa: F401\n")
    return folder


@pytest.fixture(scope="module")
def trained(package, folder) -> tuple[Path, str]:
    """The experiment's folder, and what the training printed."""
    done = package.run("experiments_manager", "--usersettings", "mysettings.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Path(re.search(r"^experiment folder: (.+)$", done.stdout, re.MULTILINE)[1]), done.stdout


@contextmanager
def server(package: InstalledPackage, folder: Path, *arguments: str | Path) -> Iterator[str]:
    """A server of the installed package; gives its ready line."""
    with subprocess.Popen(package.command(*arguments), cwd=folder, env=package.environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            lines = iter(process.stdout.readline, "")
            yield next((line for line in lines if line.startswith("serving ")), "") or process.stderr.read()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def test_the_wheel_holds_what_the_program_needs_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {
        "expman", "data_pipelines", "model_zoo", "experiments_manager.py", "experiments_settings_checker.py",
        "DataProvider_input_pipeline.py"}
    assert wheel.name == f"experiments_manager-{expman.__version__}-py3-none-any.whl"
    for room in ("expman", "data_pipelines", "model_zoo"):
        files = {str(file.relative_to(ROOT)) for file in (ROOT / room).rglob("*")
                 if file.is_file() and file.suffix != ".pyc"}
        assert files <= set(names), "add the kind of file to [tool.setuptools.package-data] in pyproject.toml"


def test_it_is_imported_from_where_it_is_installed(package, folder):
    code = ("import experiments_manager, expman, data_pipelines, model_zoo, importlib.metadata as metadata, sys\n"
            "print(*(m.__file__ for m in (experiments_manager, expman, data_pipelines, model_zoo)), sep='\\n')\n"
            "print(expman.__version__ == metadata.version('experiments-manager'), 'tensorflow' in sys.modules)")
    *files, facts = package.run("python", "-c", code, cwd=folder).stdout.splitlines()
    assert len(files) == 4 and all(Path(file).is_relative_to(package.packages) for file in files), files
    assert facts == "True False"


def test_the_help_speaks_of_the_program_as_it_is_called(package, folder):
    done = package.run("experiments_manager", "--help", cwd=folder)
    assert done.returncode == 0 and "usage: experiments_manager COMMAND" in done.stdout
    assert "experiments_manager.py" not in done.stdout


def test_both_checkers_pass_and_leave_nothing_behind(package, folder):
    before = sorted(folder.iterdir())
    checked = package.run("experiments_settings_checker", "mysettings.py", cwd=folder)
    assert (checked.returncode, checked.stdout) == (0, "mysettings.py: no problem found\n"), checked.stderr
    checked = package.run("experiments_manager", "--check", "--usersettings", "mysettings.py", cwd=folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"all \d+ checks passed", checked.stdout)
    assert sorted(file for file in folder.iterdir() if file.name != "__pycache__") == before


def test_a_training_tells_the_next_command_as_it_works_here(package, folder, trained):
    experiment, printed = trained
    assert f"next: experiments_manager --start_server --model_dir {experiment}" in printed
    assert not [*(experiment / "user_modules").rglob("*.py")], "installed modules need not travel with an experiment"
    assert (experiment / "experiment_model.py").read_bytes() == (package.packages / "model_zoo" / "mlp.py").read_bytes()


def test_served_by_two_workers_it_answers_its_client(package, folder, trained):
    experiment, _ = trained
    with server(package, folder, "experiments_manager", "--start_server", "--model_dir", experiment, "--serving_engine",
                "embedded", "--embedded_workers", "2", "--port", str(free_port())) as ready:
        assert ready.startswith("serving '"), ready
        done = package.run("experiments_manager", "--predict", "--predict_stream", "-1", "--model_dir", experiment, cwd=folder)
    assert done.returncode == 0 and re.search(r"^answers \[.+, .+, .+\]$", done.stdout, re.MULTILINE), done.stderr


def test_the_module_serves_as_the_program_does(package, folder, trained):
    experiment, _ = trained
    (model,) = (experiment / "export").iterdir()
    port = free_port()
    with server(package, folder, "python", "-m", "expman.serving", f"--model_base_path={model}", "--model_name=m",
                "--address=127.0.0.1", f"--port={free_port()}", f"--rest_api_port={port}") as ready:
        assert ready.startswith("serving 'm'"), ready
        query = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/m:predict", data=b'{"instances": [[1, 2, 3]]}')
        answer = json.loads(urllib.request.urlopen(query, timeout=60).read())
    assert len(answer["predictions"]) == 1 and "prediction" in answer["predictions"][0]


def test_an_experiment_goes_on_and_is_compared_and_reported(package, folder, trained):
    experiment, _ = trained
    done = package.run("experiments_manager", "--restart_interrupted", "--model_dir", experiment, "--nbEpoch", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = package.run("experiments_manager", "--compare", folder / "experiments", "--columns", "model_file", cwd=folder)
    assert done.returncode == 0 and "zoo:mlp" in done.stdout, done.stdout + done.stderr
    done = package.run("experiments_manager", "--report", experiment, "--output", "page.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert f"experiments_manager --start_server --model_dir {experiment}" in page and "zoo:mlp" in page


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="pip install -r requirements-ray.txt"))])
def test_a_sweep_runs_in_the_installed_package(package, folder, engine):
    text = SWEEP.replace("SWEEP_FOLDER", f"sweep-{engine}").replace("max_trials = 4", "max_trials = 2")
    (folder / f"mysweep_{engine}.py").write_text(text, encoding="utf-8")
    done = package.run("experiments_manager", "--sweep", f"mysweep_{engine}.py", "--engine", engine, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 trials\n" in done.stdout
    assert re.search(rf"^ +experiments_manager --report .*\bsweep-{engine}$", done.stdout, re.MULTILINE), done.stdout


def test_a_program_of_ones_own_trains(package, folder):
    code = ("import experiments_manager\n"
            "result = experiments_manager.run('mysettings.py', {'hiddenNeurons': 2})\n"
            "print(result['status'], result['last_exported_model'])")
    done = package.run("python", "-c", code, cwd=folder)
    assert done.returncode == 0 and "ok /" in done.stdout, done.stderr


def test_a_first_experiment_by_its_name_is_written_and_trained_from_an_empty_folder(package, tmp_path):
    done = package.run("experiments_manager", "--init", "digits", cwd=tmp_path)
    assert done.returncode == 0 and "next: experiments_manager --check" in done.stdout, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["digits"]
    settings = tmp_path / "digits" / "mysettings.py"
    settings.write_text(settings.read_text(encoding="utf-8").replace("nbEpoch = 30", "nbEpoch = 3"), encoding="utf-8")
    done = package.run("experiments_manager", "--usersettings", "digits/mysettings.py", cwd=tmp_path)
    assert done.returncode == 0 and "newest export: " in done.stdout, done.stderr


def test_a_first_experiment_on_data_of_ones_own_passes_the_check(package, tmp_path):
    rows = "".join(f"{row},{'ab'[row % 2]},{row % 2 + row / 100}\n" for row in range(60))
    (tmp_path / "data.csv").write_text(f"x,kind,y\n{rows}", encoding="utf-8")
    done = package.run("experiments_manager", "--init", "mine", "--like", "tabular", "--data", "data.csv", "--target", "y", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = package.run("experiments_manager", "--check", "--usersettings", "mine/mysettings.py", cwd=tmp_path)
    assert done.returncode == 0 and re.search(r"all \d+ checks passed", done.stdout), done.stdout + done.stderr
