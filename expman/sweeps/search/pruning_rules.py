"""Decides from the values that trials had so far whether a running one is worth going on with.

The rules know nothing but values by epoch, so that a trial's own process can ask them, and in any order of the trials.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from expman.sweeps.sweep_file import Sweep

History = Sequence[tuple[float, float]]  # (epochs done, value) of each evaluation, ascending


def pruning_rule(sweep: Sweep) -> NoPruning | MedianStopping | SuccessiveHalving:
    """The rule that a sweep file asks for; it can be pickled."""
    if sweep.pruning == "median":
        return MedianStopping(metric=sweep.metric, mode=sweep.mode, grace_epochs=sweep.pruning_grace_epochs,
                              min_trials=sweep.pruning_min_trials)
    if sweep.pruning == "asha":
        return SuccessiveHalving(metric=sweep.metric, mode=sweep.mode, grace_epochs=sweep.pruning_grace_epochs,
                                 reduction_factor=sweep.pruning_reduction_factor)
    return NoPruning()


@dataclass(frozen=True)
class NoPruning:
    """Lets every trial go on."""

    def reason_to_end(self, history: History, others: Sequence[History]) -> str | None:
        """Returns None."""
        return None


@dataclass(frozen=True)
class MedianStopping:
    """Ends a trial whose best value is worse than what half of the other trials had on average when they were as far.

    After epoch e, with v(i) the values of a trial at its evaluations and, for a metric that is best when small,

        best = min over i ≤ e of v(i),   average of another trial = mean over i ≤ e of v(i),

    the trial ends when best > median of the averages of all others that have been evaluated at epoch e or later. NaN counts
    as the worst value. Source: D. Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017, on the median
    stopping rule; there only completed trials are compared, here also those that still run or were pruned after epoch e.

    Attributes:
        metric: its name, for the reason.
        mode: 'min' or 'max'.
        grace_epochs: before this epoch no trial ends.
        min_trials: how many others are needed for a verdict.
    """

    metric: str
    mode: str
    grace_epochs: int
    min_trials: int

    def reason_to_end(self, history: History, others: Sequence[History]) -> str | None:
        """Decides after an evaluation.

        Arguments:
            history: of the trial that was evaluated.
            others: the histories of all other trials.

        Returns:
            Why the trial should end, or None.
        """
        if not history or history[-1][0] < self.grace_epochs:
            return None
        epoch = history[-1][0]
        averages = []
        for other in others:
            losses = [_as_loss(value, self.mode) for at, value in other if at <= epoch]
            if losses and other[-1][0] >= epoch:
                averages.append(_without_nan(statistics.fmean(losses)))
        if len(averages) < self.min_trials:
            return None
        best, median = min(_as_loss(value, self.mode) for _, value in history), statistics.median(averages)
        if best <= median:
            return None
        return (f"epoch {epoch:.4g}: the best {self.metric} so far, {_as_value(best, self.mode):.4g}, is worse than the median "
                f"{_as_value(median, self.mode):.4g} of {len(averages)} other trials")


@dataclass(frozen=True)
class SuccessiveHalving:
    """Lets at each rung only the best 1/η of the trials go on (ASHA).

    The rungs are the epochs r(k) = grace_epochs · ηᵏ, k = 0, 1, 2 … A trial's value at a rung is that of its first evaluation
    at epoch r(k) or later. With n the number of trials that have a value at the rung by now, this one included, it goes on
    when fewer than max(1, ⌊n / η⌋) others are strictly better there. No trial waits for others; so an early one may go on
    that would not later. NaN counts as the worst value. When several rungs lie between two evaluations, the highest counts.
    Source: L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, algorithm 2; there a trial that is
    not promoted is paused, here it ends.

    Attributes:
        metric: its name, for the reason.
        mode: 'min' or 'max'.
        grace_epochs: the first rung.
        reduction_factor: η.
    """

    metric: str
    mode: str
    grace_epochs: int
    reduction_factor: int

    def reason_to_end(self, history: History, others: Sequence[History]) -> str | None:
        """Decides after an evaluation; see `MedianStopping.reason_to_end`."""
        rung = self._rung_just_reached(history)
        if rung is None:
            return None
        loss = _as_loss(history[-1][1], self.mode)
        rivals = [_as_loss(reached[0], self.mode) for reached in
                  ([value for epoch, value in other if epoch >= rung] for other in others) if reached]
        num_promoted = max(1, (len(rivals) + 1) // self.reduction_factor)
        num_better = sum(rival < loss for rival in rivals)
        if num_better < num_promoted:
            return None
        return (f"epoch {history[-1][0]:.4g}: {self.metric} {history[-1][1]:.4g} is number {num_better + 1} of the "
                f"{len(rivals) + 1} trials that reached epoch {rung}; the best {num_promoted} go on")

    def _rung_just_reached(self, history: History) -> int | None:
        """The highest rung that the last evaluation has reached and the one before had not."""
        if not history or history[-1][0] < self.grace_epochs:
            return None
        rung = self.grace_epochs
        while rung * self.reduction_factor <= history[-1][0]:
            rung *= self.reduction_factor
        is_new = len(history) == 1 or history[-2][0] < rung
        return rung if is_new else None


def _as_loss(value: float, mode: str) -> float:
    return _without_nan(value if mode == "min" else -value)


def _as_value(loss: float, mode: str) -> float:
    return loss if mode == "min" else -loss


def _without_nan(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
