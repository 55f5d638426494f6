"""Checks the settings file and its model file, and that the machine has what they ask for."""

from __future__ import annotations

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.patches import patched, patches_of
from expman.records.experiment_folder import ExperimentFolder
from expman.settings.loading import load_settings
from expman.training.distribution.devices import use_gpus


def check_settings(run: DryRun) -> Finding:
    """Loads the user's files and makes of them the experiment that the other checks run."""
    run.settings = load_settings(run.settings_file, overrides=run.hparams)
    use_gpus(run.settings.used_gpu_IDs)
    run.patched_settings = patched(run.settings, patches_of(run))
    run.folder = ExperimentFolder.create(working_folder=run.patched_settings.workingFolder,
                                         session_name=run.settings.session_name, hparams=run.settings.hparams)
    hparams = ", ".join(f"{name}={value}" for name, value in run.settings.hparams.items())
    return Finding(f"hparams {hparams}" if hparams else "no hparams")
