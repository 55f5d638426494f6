"""The checks of a dry run in their order."""

from __future__ import annotations

from expman.dry_run.check import Check
from expman.dry_run.checks.batches import check_batches
from expman.dry_run.checks.checkpoint import check_checkpoint
from expman.dry_run.checks.cost import check_cost
from expman.dry_run.checks.export import check_export
from expman.dry_run.checks.falling_loss import check_falling_loss
from expman.dry_run.checks.forward import check_forward
from expman.dry_run.checks.resizing import check_resizing
from expman.dry_run.checks.serving import check_serving
from expman.dry_run.checks.settings import check_settings

CHECKS: tuple[Check, ...] = (
    Check("settings", check_settings),
    Check("batches", check_batches, requires=("settings",)),
    Check("forward and loss", check_forward, requires=("batches",)),
    Check("loss falls", check_falling_loss, requires=("forward and loss",)),
    Check("save and restore", check_checkpoint, requires=("forward and loss",)),
    Check("export", check_export, requires=("forward and loss",)),
    Check("serve and ask", check_serving, requires=("export",)),
    Check("resizing", check_resizing, requires=("serve and ask",)),
    Check("time and memory", check_cost, requires=("forward and loss",)),
)
