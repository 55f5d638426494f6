"""A trial as tables and pictures need it, and the table of all trials as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.records.experiment_folder import write_atomically

_COLUMNS = ("number", "status", "value", "seconds")


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: from 1.
        hparams: what the sweep chose: name → bool, int, float, str or None.
        status: 'waiting', 'running', 'finished', 'pruned' or 'failed'.
        value: of the sweep's metric; None when there is none.
        seconds: time that it has been trained for.
    """

    number: int
    hparams: Mapping[str, Any]
    status: str
    value: float | None
    seconds: float

    @property
    def has_value(self) -> bool:
        """Returns whether the trial ended with a value that can be compared."""
        return self.status in ("finished", "pruned") and self.value is not None and math.isfinite(self.value)


def write_trials_csv(trials: Sequence[TrialRow], path: Path) -> None:
    """Writes a row a trial: number, status, value, seconds, then each hparam; a cell is empty where there is no value.

    An hparam that is called like one of the first columns gets the column `hparams.<name>`.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.hparams)
    titles = {name: f"hparams.{name}" if name in _COLUMNS else name for name in names}
    table = io.StringIO()
    writer = csv.DictWriter(table, [*_COLUMNS, *titles.values()], restval="", lineterminator="\n")
    writer.writeheader()
    for trial in trials:
        writer.writerow({"number": trial.number, "status": trial.status, "seconds": f"{trial.seconds:.3f}",
                         "value": "" if trial.value is None else trial.value,
                         **{titles[name]: value for name, value in trial.hparams.items()}})
    write_atomically(path, table.getvalue())
