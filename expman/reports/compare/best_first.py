"""Orders experiments by a quantity, the best first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expman.errors import UsageError
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.record_fields import field_value, known_names, resolve_name, split_name

_MODES = ("min", "max")
# What a metric's name must contain to be taken for one of which more is better, where no experiment was judged by it.
_MORE_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "dice", "jaccard", "r2", "psnr", "ssim", "score",
                   "similarity", "kappa", "specificity", "sensitivity")


@dataclass(frozen=True)
class Order:
    """By what experiments are ordered.

    Attributes:
        name: of the quantity, as `record_fields` names it.
        mode: 'min' or 'max': what of it comes first.
    """

    name: str
    mode: str

    def __str__(self) -> str:
        shown = split_name(self.name)[1] if self.name.startswith("metrics.") else self.name
        return f"{shown}, {'highest' if self.mode == 'max' else 'lowest'} first"

    def sorted(self, records: Sequence[ExperimentRecord]) -> list[ExperimentRecord]:
        """The experiments, the best first; those without the quantity come last, in the order in which they came."""
        with_value = [record for record in records if _is_comparable(field_value(record, self.name))]
        without = [record for record in records if not _is_comparable(field_value(record, self.name))]
        with_value.sort(key=lambda record: _sort_key(field_value(record, self.name)), reverse=self.mode == "max")
        return with_value + without


def order_of(records: Sequence[ExperimentRecord], sort: str | None) -> Order | None:
    """The order that a user asks for, or by default that of the metric by which most experiments were judged.

    Arguments:
        records: what is to be ordered.
        sort: a metric or another name of `record_fields`, and optionally ':min' or ':max' to say what comes first. Without,
            a metric goes by the experiments' own mode if they were judged by it, else by what its name says.

    Returns:
        None when nothing was asked for and no experiment tells its metric.

    Raises:
        UsageError: no experiment knows the name.
    """
    if sort is None:
        judged = Counter((record.metric, record.mode) for record in records if record.metric in record.metrics)
        if not judged:
            return None
        metric, mode = judged.most_common(1)[0][0]
        return Order(f"metrics.{metric}", mode)
    text, colon, mode = sort.rpartition(":")
    if not colon or mode not in _MODES:
        if colon and "." not in mode and text:
            raise UsageError(f"--sort '{sort}': what follows the colon must be min or max. Got '{mode}'.")
        text, mode = sort, ""
    name = resolve_name(text, known_names(records), what="--sort", groups=("metrics", "hparams", "settings"))
    return Order(name, mode or _usual_mode(name, records))


def _usual_mode(name: str, records: Sequence[ExperimentRecord]) -> str:
    group, metric = split_name(name)
    if group != "metrics":
        return "min"
    own = Counter(record.mode for record in records if record.metric == metric)
    if own:
        return own.most_common(1)[0][0]
    return "max" if any(part in metric.lower() for part in _MORE_IS_BETTER) and "loss" not in metric.lower() else "min"


def _is_comparable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Numbers before texts, as values of both kinds may stand under one name."""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))
