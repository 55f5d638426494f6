"""Exports the model and compares the answers of what was written with those of the model in memory."""

from __future__ import annotations

import time

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.quantities import size


def check_export(run: DryRun) -> Finding:
    """Publishes a version, as a training does after its evaluations."""
    run.estimator.prepare()
    start = time.perf_counter()
    version = run.folder.path / run.estimator.export(run.folder)
    run.export_seconds = time.perf_counter() - start
    num_bytes = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
    return Finding(f"answers as the model in memory, {size(num_bytes)}, outputs "
                   f"{', '.join(run.estimator.served.heads)}")
