"""How long the program takes to answer when nothing has to be computed."""

from __future__ import annotations

import subprocess
import sys


class Start:
    """Whole processes, from their start to their end."""

    repeat = (5, 15, 20.0)
    number = 1

    def time_help(self) -> None:
        """`--help`, which must not import TensorFlow."""
        subprocess.run([sys.executable, "-m", "experiments_manager", "--help"], check=True, stdout=subprocess.DEVNULL)

    def time_a_missing_file(self) -> None:
        """A mistake that is told at once."""
        subprocess.run([sys.executable, "-m", "experiments_manager", "--usersettings", "nowhere.py"], check=False,
                       stderr=subprocess.DEVNULL)
