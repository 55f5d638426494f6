"""Keeps the statistics that a settings file's data compute from their files, so that a restart goes on with the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expman.settings.loading import Settings


def statistics_of(settings: Settings) -> list[Any]:
    """For `experiment.json`: what `recorded_statistics()` returns of each object of the settings file that has it.

    `DataProvider_input_pipeline.table` makes such objects. A network that was trained with their statistics needs them as
    they were, even when the files have changed since.
    """
    return [owner.recorded_statistics() for owner in _owners(settings)]


def restore_statistics(settings: Settings, recorded: Sequence[Any]) -> None:
    """Hands what `statistics_of` returned at the start of the experiment to `use_statistics(record)` of the same objects."""
    for owner, record in zip(_owners(settings), recorded):
        owner.use_statistics(record)


def _owners(settings: Settings) -> list[Any]:
    """The objects whose methods are functions of the settings file, and those at the level of its module, each once."""
    found: dict[int, Any] = {}
    for function in settings.functions.values():
        for candidate in (getattr(function, "__self__", None), *getattr(function, "__globals__", {}).values()):
            if hasattr(type(candidate), "recorded_statistics") and hasattr(type(candidate), "use_statistics"):
                found[id(candidate)] = candidate
    return list(found.values())
