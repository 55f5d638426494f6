"""Where this project stands, in a clone or among installed packages, and what that changes: its own call, and its import path."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path

from expman import PROJECT_FOLDER

DISTRIBUTION = "experiments-manager"
_COMMAND = "experiments_manager"
_SCRIPT = f"{_COMMAND}.py"


def program() -> str:
    """Returns the call of the manager as one types it here: as it was typed, else as it is found.

    `experiments_manager` where it is installed, `python experiments_manager.py` in a clone; with a path where it needs one.
    """
    called = Path(sys.argv[0] if sys.argv else "")
    if called.name == _SCRIPT and called.is_file() and PROJECT_FOLDER not in _package_folders():
        return f"python {shlex.quote(str(called))}"
    if called.name == _COMMAND and called.is_file():
        return _typed(called)
    installed = Path(sys.executable).parent / _COMMAND  # called from Python
    if installed.is_file():
        return _typed(installed)
    return f"python {_SCRIPT}" if Path.cwd() == PROJECT_FOLDER else f"python {shlex.quote(str(PROJECT_FOLDER / _SCRIPT))}"


def install_command(extra: str) -> str:
    """Returns what installs the packages of an extra, such as 'ray': the clone's pins, else those of the package's metadata."""
    pins = PROJECT_FOLDER / f"requirements-{extra}.txt"
    if pins.is_file():
        return f"pip install -r {pins.name}"
    try:
        listed = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    wanted = [name for name, _, condition in (line.partition(";") for line in listed)
              if condition.replace("'", '"').strip() == f'extra == "{extra}"']
    return f"pip install {shlex.join(name.strip() for name in wanted) or extra}"


def import_path() -> str:
    """Returns the PYTHONPATH with which another Python process of this machine finds the project; '' when it needs none."""
    own = [] if PROJECT_FOLDER in _package_folders() else [str(PROJECT_FOLDER)]
    return os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])


def child_environment(**more: str) -> Mapping[str, str]:
    """Returns the environment for a Python process that imports the project.

    Arguments:
        more: further variables.
    """
    path = import_path()
    return {**os.environ, **({"PYTHONPATH": path} if path else {}), **more}


def _package_folders() -> set[Path]:
    """The folders in which every process of this Python looks."""
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return {Path(folder).resolve() for folder in folders}


def _typed(script: Path) -> str:
    """The name alone where the shell finds the script by it."""
    found = shutil.which(_COMMAND)
    return _COMMAND if found and Path(found).resolve() == script.resolve() else shlex.quote(str(script))
