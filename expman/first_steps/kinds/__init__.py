"""The kinds of data that settings can be written for, one file each: a new file is a new kind."""

from __future__ import annotations

import importlib
import pkgutil

from expman.first_steps.kind import Kind


def all_kinds() -> list[Kind]:
    """Returns the `KIND` of each file in this folder, by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return sorted((module.KIND for module in modules), key=lambda kind: kind.name)
