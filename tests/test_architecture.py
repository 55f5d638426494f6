"""Who may import whom, and that nothing cheap imports TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

FORBIDDEN = {
    "expman/saved_models": ("expman.training", "expman.sweeps", "expman.export", "expman.settings.loading", "expman.dry_run",
                            "expman.serving", "expman.client.model_client"),
    "expman/serving": ("expman.training", "expman.sweeps", "expman.export", "expman.settings.loading", "expman.dry_run"),
    "expman/client/model_client.py": ("expman.training", "expman.sweeps", "expman.export", "expman.dry_run"),
    "expman/export": ("expman.training", "expman.sweeps", "expman.serving", "expman.settings.loading", "expman.client.model_client",
                      "expman.dry_run"),
    "expman/training": ("expman.sweeps", "expman.serving", "expman.client.model_client", "expman.experiment_run", "expman.dry_run",
                        "expman.tracking"),
    "expman/tracking": ("expman.training", "expman.sweeps", "expman.serving", "expman.export", "expman.settings.loading",
                        "expman.client.model_client", "expman.experiment_run", "expman.dry_run"),
    "expman/dry_run": ("expman.sweeps", "expman.experiment_run"),
    "expman/training/callbacks": ("expman.training.estimator", "expman.training.callbacks"),
    "expman/settings/loading.py": ("expman.training", "expman.serving", "expman.export"),
    "model_zoo": ("expman",),
    "DataProvider_input_pipeline.py": ("expman",),
    "expman/reports": ("expman.training", "expman.serving", "expman.export", "expman.settings.loading", "expman.client.model_client",
                       "expman.experiment_run", "expman.dry_run"),
    "expman/sweeps": ("expman.serving", "expman.client.model_client", "expman.dry_run", "expman.reports"),
    "data_pipelines": ("expman", "model_zoo"),
}
CHEAP = ("experiments_manager", "experiments_settings_checker", "expman.experiment_run", "expman.settings.loading",
         "expman.records.experiment_folder", "expman.serving.engines.serve", "expman.reports.compare.comparison_table",
         "expman.tracking.background_mirror")


def imported_modules(file: Path) -> set[str]:
    """The full names of all modules and names that a file imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("place", FORBIDDEN)
def test_imports_go_one_way(place):
    path = ROOT / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []
    for file in files:
        wrong = [name for name in imported_modules(file)
                 for forbidden in FORBIDDEN[place] if name == forbidden or name.startswith(f"{forbidden}.")]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("module", CHEAP)
def test_tensorflow_is_imported_only_by_those_who_compute(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(("arguments", "exit_code"), [
    (["--help"], 0), ([], 2), (["--usersettings", "nowhere.py"], 2), (["--start_serve", "--model_dir", "x"], 2),
    (["--check", "--usersettings", "nowhere.py"], 2), (["--check"], 2),
    (["--usersettings", "x.py", "--hparams", "x"], 2), (["--predict", "--model_dir", "nowhere"], 1),
    (["--evaluate", "--model_dir", "nowhere"], 1),
    (["--restart_interrupted", "--model_dir", "nowhere"], 1), (["--start_server", "--model_dir", "nowhere"], 1)])
def test_cheap_answers_do_not_import_tensorflow(arguments, exit_code):
    code = ("import sys, experiments_manager\n"
            "try:\n    code = experiments_manager.main(sys.argv[1:])\n"
            "except SystemExit as end:\n    code = end.code\n"
            "print('imported', 'tensorflow' in sys.modules, 'code', code)")
    answer = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout.endswith(f"imported False code {exit_code}\n"), answer


def test_only_the_engine_for_clusters_imports_ray():
    for file in sorted((ROOT / "expman").rglob("*.py")):
        if not file.name.startswith("ray_"):
            assert not [name for name in imported_modules(file) if name.split(".")[0] == "ray"], file.name


def test_only_the_bindings_of_c_libraries_know_ctypes():
    knowing = {file.name for file in (ROOT / "expman").rglob("*.py")
               if any(name.split(".")[0] == "ctypes" for name in imported_modules(file))}
    assert knowing <= {"tensorflow_c_api.py", "tensorflow_c_session.py", "tensorflow_tensors.py",
                       "memory_allocator.py"}
