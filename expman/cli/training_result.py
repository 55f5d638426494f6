"""Prints what a training that has ended came to, for the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def print_result(result: Mapping[str, Any]) -> None:
    """Prints what came out of a training, and what one may do next.

    Arguments:
        result: see `experiments_manager.run`.
    """
    from expman.records.running_servers import start_command
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in result.items() if isinstance(value, float))
    folder, export = result["sessionFolder"], result["last_exported_model"]
    served_as = f", served as '{Path(export).parent.name}'" if export else ""
    print(f"best evaluation: {metrics}\nexperiment folder: {folder}\nnewest export: {export}{served_as}\n"
          f"next: {start_command(folder)}\n"
          f"      tensorboard --logdir {shlex.quote(folder)}")
