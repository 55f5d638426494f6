"""Writes what a sweep leaves: the table of its trials, pictures, and the way to the best one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expman.errors import SweepError
from expman.records.sweep_folder import SweepFolder
from expman.records.trial import Trial
from expman.sweeps.pictures.sweep_pictures import draw_sweep
from expman.sweeps.pictures.trial_row import TrialRow, write_trials_csv
from expman.sweeps.sweep_display import best_trial
from expman.sweeps.sweep_file import Sweep


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        folder: the sweep's folder.
        best: the best trial.
        best_link: `best` in the sweep's folder, which points to its experiment.
        num_trials: trials that ended.
        num_failed: those of them that failed.
        pictures: the files drawn.
    """

    folder: Path
    best: Trial
    best_link: Path
    num_trials: int
    num_failed: int
    pictures: list[Path]


def write_results(folder: SweepFolder, sweep: Sweep) -> SweepResult:
    """Writes `trials.csv`, the pictures and the link to the best trial.

    Raises:
        SweepError: no trial gave a value.
    """
    trials = folder.trials()
    rows = [TrialRow(number=trial.number, hparams=dict(trial.hparams), status=trial.status, value=trial.value,
                     seconds=trial.seconds) for trial in trials]
    write_trials_csv(rows, folder.trials_table)
    best = best_trial(trials, sign=1 if sweep.mode == "min" else -1)
    if best is None:
        raise SweepError(f"All {len(trials)} trials failed; the last one: {trials[-1].reason if trials else 'there was none'}\n"
                         f"The logs are {folder.path}/*/trial.log.")
    folder.point_to_best(best)
    pictures = draw_sweep(rows, folder.pictures, metric=sweep.metric, mode=sweep.mode)
    return SweepResult(folder=folder.path, best=best, best_link=folder.best_link, num_trials=len(trials),
                       num_failed=sum(trial.status == "failed" for trial in trials), pictures=pictures)
