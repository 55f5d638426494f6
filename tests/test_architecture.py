"""Who may import whom, and that nothing cheap imports TensorFlow."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

DOORS = ("experiments_manager", "experiments_settings_checker", "DataProvider_input_pipeline")
# The rooms from left to right: each imports only what stands right of it. Rooms of one line do not know each other.
ROOMS = (
    ("cli",),
    ("sweeps", "dry_run", "first_steps"),
    ("experiment_evaluation",),
    ("experiment_run",),
    ("tracking", "training", "client"),
    ("export", "serving", "reports"),
    ("runtimes", "records"),
    ("settings",),
    ("wire", "internals"),
    ("errors", "installation", "tf_config"),
)
# Beyond the order: what a room must not know although it stands right of it.
FORBIDDEN = {
    "expman/serving": ("expman.settings",),
    "expman/reports": ("expman.runtimes",),
    "expman/tracking": ("expman.export", "expman.serving", "expman.settings"),
    "expman/training/callbacks": ("expman.training.estimator", "expman.training.training_run", "expman.training.training_callbacks"),
    "expman/sweeps": ("expman.client", "expman.serving", "expman.reports"),
    "expman": DOORS,
    "model_zoo": ("expman", "data_pipelines", *DOORS),
    "data_pipelines": ("expman", "model_zoo", *DOORS),
}
CHEAP = ("experiments_manager", "experiments_settings_checker", "expman.experiment_run", "expman.settings.loading",
         "expman.records.experiment_folder", "expman.serving.engines.serve", "expman.reports.compare.comparison_table",
         "expman.tracking.background_mirror")


@functools.cache
def imported_modules(file: Path) -> set[str]:
    """The full names of all modules and names that a file imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def modules() -> dict[str, Path]:
    """All modules of the machinery by their full names; a package stands for its `__init__`."""
    files = sorted((ROOT / "expman").rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports_between_files() -> dict[str, set[str]]:
    """Module -> the modules that it imports: at its top, in functions and for type checkers alike."""
    known = modules()
    return {module: {name if name in known else name.rpartition(".")[0] for name in imported_modules(file)
                     if name in known or name.rpartition(".")[0] in known} - {module} for module, file in known.items()}


def level_of(module: str) -> int | None:
    """The number of the room's line; None for the package itself."""
    room = module.split(".")[1] if "." in module else ""
    return next((level for level, rooms in enumerate(ROOMS) if room in rooms), None)


def circles_in(graph: dict[str, set[str]]) -> list[list[str]]:
    """The circles that a search finds, each from file to file back to the first."""
    found, done = [], set()

    def follow(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module):], module])
        elif module not in done:
            for imported in sorted(graph[module]):
                follow(imported, [*path, module])
            done.add(module)

    for module in sorted(graph):
        follow(module, [])
    return found


def test_every_room_has_its_place_in_the_order():
    assert {module for module in modules() if "." in module and level_of(module) is None} == set()


def test_rooms_import_only_what_stands_right_of_them():
    wrong = [f"{module} imports {imported}" for module, all_imported in imports_between_files().items() for imported in all_imported
             if level_of(module) is not None and level_of(imported) is not None and module.split(".")[1] != imported.split(".")[1]
             and level_of(imported) <= level_of(module)]
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    assert circles_in(imports_between_files()) == []


def test_a_circle_would_be_found():
    assert circles_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c", "b"]]


def test_callbacks_do_not_know_each_other():
    callbacks = "expman.training.callbacks."
    wrong = [f"{module} imports {imported}" for module, all_imported in imports_between_files().items() for imported in all_imported
             if module.startswith(callbacks) and imported.startswith(callbacks)]
    assert wrong == []


@pytest.mark.parametrize("place", FORBIDDEN)
def test_no_file_knows_what_its_room_must_not(place):
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


def test_docstrings_begin_with_their_subject_or_a_verb():
    wrong = [f"{file.relative_to(ROOT)}: {text.splitlines()[0]}" for room in ("expman", "data_pipelines", "model_zoo")
             for file in sorted((ROOT / room).rglob("*.py")) if not file.is_relative_to(ROOT / "expman" / "first_steps" / "examples")
             for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
             if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
             and (text := ast.get_docstring(node)) and text.startswith(("What ", "Whether ", "How ", "All ", "Those "))]
    assert wrong == []
