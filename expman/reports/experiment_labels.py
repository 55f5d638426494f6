"""Short names of experiments, by which the eye tells them apart: their folders' names repeat the hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from expman.reports.experiment_records import ExperimentRecord

_TIME = re.compile(r"_(\d{4}-\d\d-\d\d)--(\d\d)-(\d\d)-(\d\d(?:_\d+)?)$")


def short_labels(records: Sequence[ExperimentRecord]) -> list[str]:
    """One label a record, in their order, no two equal.

    A trial is 'trial 12', any other experiment its session's name and time; where these are not unique the parent folder's
    name comes first, and at last the whole path.
    """
    levels: tuple[Callable[[ExperimentRecord], str], ...] = (
        _label, lambda record: f"{record.folder.resolve().parent.name}/{_label(record)}", lambda record: str(record.folder))
    for level in levels:
        labels = [level(record) for record in records]
        if len(set(labels)) == len(labels):
            break
    return labels


def _label(record: ExperimentRecord) -> str:
    number = record.trial.get("number")
    if isinstance(number, int):
        return f"trial {number}"
    time = _TIME.search(record.name)
    session = record.settings.get("session_name")
    if not time or not isinstance(session, str) or not record.name.startswith(session):
        return record.name
    date, hours, minutes, seconds = time.groups()
    return f"{session} {date} {hours}:{minutes}:{seconds}"
