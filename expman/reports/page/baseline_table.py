"""The baselines of an experiment beside its network, as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from expman.records.baseline_names import BASELINE_NAMES
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.number_text import number_text


def baseline_table(record: ExperimentRecord) -> tuple[Sequence[str], Sequence[Sequence[str]]] | None:
    """The names of the validation metrics, and a row for each baseline and for the network, its name first.

    None for an experiment without `baseline = True`.
    """
    recorded = record.identity.get("baseline")
    scores = {text: recorded[name] for name, text in BASELINE_NAMES.items()
              if isinstance(recorded, Mapping) and isinstance(recorded.get(name), Mapping)}
    if not scores:
        return None
    metrics = list(dict.fromkeys(metric for score in scores.values() for metric in score))
    rows = {**scores, "this network, best evaluation": record.metrics}
    return metrics, [[name, *(_text(score.get(metric)) for metric in metrics)] for name, score in rows.items()]


def _text(value: object) -> str:
    return number_text(value) if isinstance(value, (int, float)) else ""
