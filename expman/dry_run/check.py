"""Defines what a check of a dry run is and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expman.dry_run.dry_run import DryRun


@dataclass(frozen=True)
class Finding:
    """The findings of a check that passed.

    Attributes:
        summary: stands on the check's own line.
        details: lines below it, warnings among them.
    """

    summary: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One line of a dry run.

    Attributes:
        name: what is checked.
        perform: checks it; raises an `ExperimentError` when the experiment is at fault.
        requires: names of the checks without which it cannot be performed.
    """

    name: str
    perform: Callable[[DryRun], Finding]
    requires: tuple[str, ...] = ()
