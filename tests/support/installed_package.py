"""Builds the project's wheel and installs it into a virtual environment of its own, as a stranger would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import ROOT

_NO_SOURCES = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "experiments", "tests")


@dataclass(frozen=True)
class InstalledPackage:
    """The installed project.

    Attributes:
        environment_folder: of the virtual environment.
    """

    environment_folder: Path

    @property
    def packages(self) -> Path:
        """The folder of the environment's packages."""
        (folder,) = (self.environment_folder / "lib").glob("python*/site-packages")
        return folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a shell in which the virtual environment is active, and the clone is unknown."""
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return {**own, "PATH": f"{self.environment_folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "VIRTUAL_ENV": str(self.environment_folder), "TF_CPP_MIN_LOG_LEVEL": "2"}

    def command(self, *arguments: str | Path) -> list[str]:
        """A command whose first word is a program of the virtual environment."""
        program, *rest = map(str, arguments)
        return [str(self.environment_folder / "bin" / program), *rest]

    def run(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a program of the virtual environment and waits for its end."""
        return subprocess.run(self.command(*arguments), cwd=cwd, env=self.environment, text=True, capture_output=True,
                              timeout=300, check=False)


def build_wheel(folder: Path) -> Path:
    """Builds the wheel from a copy of the sources, in which no earlier build is left; returns it."""
    sources = folder / "sources"
    shutil.copytree(ROOT, sources, ignore=_NO_SOURCES)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(sources))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, *, folder: Path) -> InstalledPackage:
    """Installs a wheel alone; the packages that it needs are those of the running Python, by a .pth file."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    package = InstalledPackage(folder)
    shared = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    (package.packages / "shared.pth").write_text("\n".join(dict.fromkeys(shared)) + "\n", encoding="utf-8")
    _pip("--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    return package


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
