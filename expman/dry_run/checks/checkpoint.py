"""Saves the state of the training and restores it."""

from __future__ import annotations

import numpy as np

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.quantities import size
from expman.errors import CheckError
from expman.training.checkpoints import CheckpointStore
from expman.training.progress import TrainingProgress
from expman.training.steps.optimizer_state import completed_steps


def check_checkpoint(run: DryRun) -> Finding:
    """Overwrites all variables after saving them, restores them, and requires that each is equal to the bit."""
    state = run.estimator.model.training_state()
    variables = [variable for group in state.values() for variable in group]
    saved = [variable.numpy() for variable in variables]
    store = CheckpointStore(run.folder.checkpoints, variables=state)
    checkpoint = store.save(TrainingProgress(step=completed_steps(run.estimator.model.optimizer)))
    num_bytes = sum(file.stat().st_size for file in checkpoint.rglob("*"))
    try:
        for variable, value in zip(variables, saved):
            variable.assign(np.zeros_like(value))
        store.restore_newest(TrainingProgress())
        wrong = [variable.path for variable, value in zip(variables, saved) if variable.numpy().tobytes() != value.tobytes()]
    finally:
        for variable, value in zip(variables, saved):
            variable.assign(value)  # later checks need the trained state even where restoring fails
    if wrong:
        raise CheckError(f"{len(wrong)} of {len(variables)} variables differ after they were restored: {', '.join(wrong)}.")
    return Finding(f"{len(variables)} variables equal to the bit, {size(num_bytes)}")
