"""How long it takes to compare experiments and to write their page."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .small_experiment import trained

NUM_EXPERIMENTS = 100


class Reports:
    """Whole processes over the folders of many experiments."""

    timeout = 300
    repeat = (3, 9, 30.0)
    number = 1

    def setup_cache(self) -> str:
        """Copies one experiment; asv removes its folder, the current one, at the end."""
        experiment = trained(Path.cwd())
        folder = Path.cwd() / "many"
        for number in range(NUM_EXPERIMENTS):
            shutil.copytree(experiment, folder / f"{number}_{experiment.name}",
                            ignore=shutil.ignore_patterns("checkpoints", "logs", "embeddings", "variables"))
        return str(folder)

    def time_compare(self, folder: str) -> None:
        """`--compare`."""
        _run("--compare", folder)

    def time_report(self, folder: str) -> None:
        """`--report`."""
        _run("--report", folder)


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "experiments_manager", *arguments], check=True, stdout=subprocess.DEVNULL)
