"""Records where an experiment comes from: code, packages, machine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from expman import __version__

_LONGEST_DIFF_CHARACTERS = 1_000_000
_GIT_TIMEOUT_SECONDS = 10


def collect_provenance(*, settings_file: Path, accelerators: list[str]) -> dict[str, Any]:
    """Returns what somebody needs to know to repeat the experiment.

    Arguments:
        settings_file: the git repository that holds it is recorded.
        accelerators: the GPUs in use, as TensorFlow names them.
    """
    return {
        "git": git_state(settings_file.resolve().parent),
        "experiments_manager": __version__,
        "python": platform.python_version(),
        "packages": installed_packages(),
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count(),
                    "accelerators": accelerators}}


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and uncommitted changes of the repository around a folder; None when there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD") or ""
    return {"commit": commit.strip(), "diff": diff[:_LONGEST_DIFF_CHARACTERS],
            "diff_is_cut": len(diff) > _LONGEST_DIFF_CHARACTERS}


@functools.cache
def installed_packages() -> dict[str, str]:
    """Name → version of each package that this Python can import."""
    found = ((distribution.metadata["Name"], distribution.version) for distribution in importlib.metadata.distributions())
    return dict(sorted(((name, version) for name, version in found if name), key=lambda item: item[0].lower()))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, errors="replace",
                                timeout=_GIT_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None  # git is not installed, or the repository does not answer; an experiment does not fail for that
    return answer.stdout if answer.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
