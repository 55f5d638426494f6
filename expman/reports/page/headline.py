"""Computes the headline of a report: one number a tile."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from expman.reports.compare.best_first import Order
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.number_text import duration_text, number_text
from expman.reports.record_fields import field_value, split_name


@dataclass(frozen=True)
class Tile:
    """One number of the headline."""

    head: str
    value: str
    note: str = ""


def headline_of_one(record: ExperimentRecord) -> list[Tile]:
    """Returns the tiles of one experiment: its metrics, epochs, time and versions."""
    best_epoch = field_value(record, "best_epoch")
    tiles = []
    for name in sorted(record.metrics, key=lambda name: name != record.metric):
        is_own = name == record.metric
        tiles.append(Tile(f"best {name}" if is_own else name, number_text(record.metrics[name]),
                          f"epoch {best_epoch}, {'highest' if record.mode == 'max' else 'lowest'}" if is_own and best_epoch
                          else "at that epoch"))
    epoch, planned = field_value(record, "epoch"), record.settings.get("nbEpoch")
    if epoch is not None:
        tiles.append(Tile("epochs", f"{epoch} of {planned}" if planned else str(epoch),
                          "" if record.errors else record.reason))
    tiles.append(Tile("training time", duration_text(record.duration_seconds) or "none"))
    if record.versions:
        tiles.append(Tile("exported versions", str(len(record.versions)), f"newest {record.versions[-1]}"))
    return tiles


def headline_of_many(records: Sequence[ExperimentRecord], *, order: Order | None, labels: Sequence[str]) -> list[Tile]:
    """Returns the tiles of several experiments: the best value, and sums.

    Arguments:
        records: the experiments, the best first.
        order: by what they are sorted; None when nothing tells.
        labels: their short names.
    """
    tiles = []
    value = field_value(records[0], order.name) if order else None
    if order and value is not None:
        tiles.append(Tile(f"best {split_name(order.name)[1]}", number_text(value), labels[0]))
    statuses = Counter(record.status for record in records)
    tiles.append(Tile("experiments", str(len(records)),
                      " · ".join(f"{count} {status}" for status, count in statuses.most_common())))
    durations = sorted(record.duration_seconds for record in records if record.duration_seconds is not None)
    if durations:
        tiles.append(Tile("training time", duration_text(math.fsum(durations)),
                          f"median {duration_text(durations[len(durations) // 2])} each"))
    num_versions = sum(len(record.versions) for record in records)
    if num_versions:
        num_holders = sum(bool(record.versions) for record in records)
        tiles.append(Tile("exported versions", str(num_versions),
                          f"of {num_holders} experiment{'' if num_holders == 1 else 's'}"))
    return tiles
