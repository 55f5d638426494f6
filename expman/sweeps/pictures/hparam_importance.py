"""Tells which hparams made the difference between the trials of a sweep, by a random forest."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expman.sweeps.pictures.trial_row import TrialRow

LEAST_TRIALS = 8
_NUM_TREES = 100
_NUM_SHUFFLES = 10


@dataclass(frozen=True)
class HparamImportance:
    """Estimates how much hparams matter.

    Attributes:
        means: name → by how much the forest's R² falls when the values of this hparam are shuffled between trials.
        deviations: name → standard deviation of that over the shuffles.
        out_of_bag_r2: R² of each tree's predictions for trials that it was not fitted to; near 0 the means say nothing.
    """

    means: dict[str, float]
    deviations: dict[str, float]
    out_of_bag_r2: float


def hparam_importance(trials: Sequence[TrialRow], names: Sequence[str]) -> HparamImportance:
    """Permutation importance (L. Breiman, Random Forests, 2001, section 10) for the rank of the trials' values.

    Ranks keep one trial that diverged from being all that the forest explains.

    Arguments:
        trials: those with a value, at least `LEAST_TRIALS`; pruned ones count with the value that they had.
        names: of the hparams to compare; a trial may lack some.
    """
    import numpy as np
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    features = np.array([_as_numbers([trial.hparams.get(name) for trial in trials]) for name in names]).T
    ranks = rankdata([trial.value for trial in trials])
    forest = RandomForestRegressor(_NUM_TREES, oob_score=True, random_state=0).fit(features, ranks)
    found = permutation_importance(forest, features, ranks, n_repeats=_NUM_SHUFFLES, random_state=0)
    return HparamImportance(means=dict(zip(names, found.importances_mean.tolist())),
                            deviations=dict(zip(names, found.importances_std.tolist())),
                            out_of_bag_r2=float(forest.oob_score_))


def _as_numbers(values: Sequence[Any]) -> list[float]:
    """Numbers as they are, other values by the order of their text, NaN where there is none."""
    if all(value is None or isinstance(value, numbers.Real) for value in values):
        return [float("nan") if value is None else float(value) for value in values]
    order = sorted({str(value) for value in values if value is not None})
    return [float("nan") if value is None else float(order.index(str(value))) for value in values]
