"""The commands of the program, one file each: a new file is a new command."""

from __future__ import annotations

import importlib
import pkgutil

from expman.cli.command import Command


def all_commands() -> list[Command]:
    """Returns the `COMMAND` of each file in this folder, in the order of the help."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return sorted((module.COMMAND for module in modules), key=lambda command: (command.position, command.flag.name))
