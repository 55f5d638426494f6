"""Records what a sweep was when it started, and whether its files have changed since then."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expman.errors import SweepError
from expman.records.sweep_folder import SweepFolder
from expman.sweeps.sweep_file import Sweep

_RECORDED = ("metric", "mode", "max_trials", "algorithm", "pruning", "random_seed")


def keep_record(folder: SweepFolder, sweep: Sweep, *, experiment: Mapping[str, Any], accepts_changes: bool) -> None:
    """Writes the record of a sweep that has no trial yet; otherwise compares the files with it.

    Arguments:
        folder: of the sweep.
        sweep: the sweep's file as it is now.
        experiment: the settings as they are now.
        accepts_changes: whether changes are recorded instead of refused. A larger `max_trials` is never refused.

    Raises:
        SweepError: the sweep file, the settings or the model have changed; with what has changed.
    """
    sweep_text = sweep.file.read_text(encoding="utf-8")
    record = {**{name: sweep.values[name] for name in _RECORDED}, "sweep_file": str(sweep.file.resolve()),
              "settings_file": str(sweep.settings_file.resolve()), "settings_hash": _hash(sweep.settings_file),
              "model_file": str(Path(experiment["model_path"]).resolve()), "model_hash": _hash(Path(experiment["model_path"]))}
    old = folder.read_record()
    if old and not accepts_changes and any(trial.has_ended for trial in folder.trials()):
        changes = _changes(old, record, old_text=folder.sweep_file.read_text(encoding="utf-8"), new_text=sweep_text)
        if changes:
            raise SweepError(f"The sweep in {folder.path} was started with other files:\n{changes}\nIts trials could not be "
                             "compared with new ones. Set another sweepFolder, or add --accept_changes to go on "
                             "nevertheless.")
    folder.write_record(record, sweep_text=sweep_text)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], *, old_text: str, new_text: str) -> str:
    """The changes that make trials incomparable, for the user; '' when there are none."""
    changes = [f"{name}: {old.get(f'{name}_file')} has changed" if old.get(f"{name}_file") == new[f"{name}_file"]
               else f"{name}: was {old.get(f'{name}_file')}, is {new[f'{name}_file']}"
               for name in ("settings", "model") if old.get(f"{name}_hash") != new[f"{name}_hash"]]
    if _without_length(old_text) != _without_length(new_text):
        changes += difflib.unified_diff(old_text.splitlines(), new_text.splitlines(), "sweep file at the start",
                                        "sweep file now", lineterm="", n=1)
    return "\n".join(changes)


def _without_length(text: str) -> list[str]:
    """The lines of a sweep file but those that say how long and how wide to search."""
    harmless = ("max_trials", "max_parallel_trials", "max_failures", "trial_timeout_seconds", "early_stop_fn")
    return [line for line in text.splitlines() if not line.startswith(harmless)]


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
