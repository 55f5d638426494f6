"""Writes small sweeps for the tests: a sweep file over the small experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.settings_files import write_experiment

SWEEP = '''\
from hyperopt import hp

experiment_settings_file = "mysettings.py"
sweepFolder = "SWEEP_FOLDER"
space = {"hiddenNeurons": hp.choice("hiddenNeurons", [2, 4, 8]), "learningRate": hp.loguniform("learningRate", -7, -1)}
max_trials = 4
algorithm = "random"
metric = "mae"
mode = "min"
'''


def write_sweep(folder: Path, *replacements: tuple[str, str], added: str = "", experiment: tuple[tuple[str, str], ...] = (),
                experiment_added: str = "", model: str | None = None) -> Path:
    """Writes a sweep file with its settings file and model file into a folder; outputs go to `sweep/` in it.

    Arguments:
        folder: gets all files.
        replacements: (old, new) parts of `SWEEP`; each old part must occur.
        added: appended to the sweep file.
        experiment: replacements in the settings file.
        experiment_added: appended to the settings file.
        model: text of the model file, if not the usual one.
    """
    write_experiment(folder, *experiment, added=experiment_added, **({"model": model} if model else {}))
    text = SWEEP.replace("SWEEP_FOLDER", str(folder / "sweep"))
    for old, new in replacements:
        assert old in text, f"{old!r} is no part of the sweep"
        text = text.replace(old, new)
    file = folder / "mysweep_line.py"
    file.write_text(text + added, encoding="utf-8")
    return file


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """What `trial.json` says of each trial of a sweep, by number, with its folder."""
    trials = [{**json.loads(file.read_text(encoding="utf-8")), "folder": file.parent}
              for file in (folder / "sweep").glob("[0-9]*/trial.json")]
    return sorted(trials, key=lambda trial: trial["number"])
