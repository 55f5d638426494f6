"""Pruning: median stopping and successive halving against NumPy and against tables made by hand."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from expman.sweeps.search.pruning_rules import MedianStopping, NoPruning, SuccessiveHalving, pruning_rule
from expman.sweeps.sweep_file import SWEEP_SETTINGS, Sweep


def curve(*values: float, first: int = 1) -> list[tuple[int, float]]:
    return list(enumerate(values, start=first))


def median_rule(*, mode: str = "min", grace_epochs: int = 1, min_trials: int = 1) -> MedianStopping:
    return MedianStopping(metric="loss", mode=mode, grace_epochs=grace_epochs, min_trials=min_trials)


def halving_rule(*, mode: str = "min", grace_epochs: int = 1, reduction_factor: int = 3) -> SuccessiveHalving:
    return SuccessiveHalving(metric="loss", mode=mode, grace_epochs=grace_epochs, reduction_factor=reduction_factor)


def sweep_with(**values) -> Sweep:
    defaults = {setting.name: setting.default for setting in SWEEP_SETTINGS}
    return Sweep(values=defaults | {"mode": "min"} | values, file=Path("s.py"), settings_file=Path("m.py"), folder=Path("f"))


def test_no_pruning_lets_all_go_on():
    rule = pruning_rule(sweep_with())
    assert isinstance(rule, NoPruning)
    assert rule.reason_to_end(curve(1e9, math.nan), [curve(0.0, 0.0)] * 20) is None


def test_the_rules_take_their_numbers_from_the_sweep_file_and_can_be_sent_to_another_process():
    median = pruning_rule(sweep_with(pruning="median", metric="mae", pruning_grace_epochs=4, pruning_min_trials=7))
    assert median == MedianStopping(metric="mae", mode="min", grace_epochs=4, min_trials=7)
    halving = pruning_rule(sweep_with(pruning="asha", metric="accuracy", mode="max", pruning_grace_epochs=2,
                                      pruning_reduction_factor=4))
    assert halving == SuccessiveHalving(metric="accuracy", mode="max", grace_epochs=2, reduction_factor=4)
    for rule in (median, halving, NoPruning()):
        assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize("mode", ["min", "max"])
def test_median_stopping_agrees_with_numpy(mode):
    generator = np.random.default_rng(3)
    sign = 1 if mode == "min" else -1
    rule = median_rule(mode=mode, min_trials=3)
    verdicts = []
    for _ in range(300):
        table = generator.normal(size=[generator.integers(1, 9), 10])
        lengths = generator.integers(1, 11, size=len(table))
        own = generator.normal(loc=0.5 * sign, size=generator.integers(1, 11))
        others = [curve(*row[:length]) for row, length in zip(table.tolist(), lengths)]
        far_enough = table[lengths >= len(own), :len(own)]
        expected = len(far_enough) >= 3 and np.min(sign * own) > np.median(np.mean(sign * far_enough, axis=1))
        verdicts.append(expected)
        assert (rule.reason_to_end(curve(*own.tolist()), others) is not None) == expected
    assert 20 < sum(verdicts) < 280


def test_median_stopping_compares_the_best_value_with_averages_by_hand():
    others = [curve(4, 2), curve(6, 4), curve(9, 9)]  # averages after two epochs: 3, 5, 9
    assert median_rule().reason_to_end(curve(7, 6), others) == (
        "epoch 2: the best loss so far, 6, is worse than the median 5 of 3 other trials")
    assert median_rule().reason_to_end(curve(7, 5), others) is None  # not strictly worse
    assert median_rule().reason_to_end(curve(5, 100), others) is None  # its best counts
    assert median_rule(mode="max").reason_to_end(curve(4.5, 4), others) == (
        "epoch 2: the best loss so far, 4.5, is worse than the median 5 of 3 other trials")


def test_median_stopping_waits_for_its_grace_and_for_enough_trials():
    others = [curve(1, 1, 1)] * 3
    assert median_rule(grace_epochs=3).reason_to_end(curve(9, 9), others) is None
    assert median_rule(grace_epochs=3).reason_to_end(curve(9, 9, 9), others) is not None
    assert median_rule(min_trials=4).reason_to_end(curve(9, 9), others) is None
    assert median_rule(min_trials=3).reason_to_end(curve(9, 9), others) is not None
    assert median_rule().reason_to_end(curve(9, 9), []) is None
    assert median_rule().reason_to_end([], others) is None


def test_median_stopping_leaves_out_trials_that_are_not_as_far():
    far, near = curve(10, 10, 10), curve(1, 1)
    assert median_rule().reason_to_end(curve(5, 5, 5), [far, near, near]) is None
    assert median_rule().reason_to_end(curve(5, 5), [far, near, near]) is not None
    assert median_rule(min_trials=2).reason_to_end(curve(50, 50, 50), [far, near, near]) is None
    assert median_rule().reason_to_end(curve(50), [[], curve(1, first=2)]) is None  # evaluated later only: no value to compare yet


def test_nan_is_the_worst_value_for_the_median():
    nan = math.nan
    assert median_rule().reason_to_end(curve(nan, nan), [curve(5, 5)]) == (
        "epoch 2: the best loss so far, inf, is worse than the median 5 of 1 other trials")
    assert median_rule().reason_to_end(curve(4, nan), [curve(5, 5)]) is None
    assert median_rule().reason_to_end(curve(1e6), [curve(nan), curve(nan), curve(1)]) is None
    assert median_rule(mode="max").reason_to_end(curve(nan), [curve(0.0)]) is not None
    assert median_rule(mode="max").reason_to_end(curve(-1e6), [curve(nan)]) is None


def test_successive_halving_by_hand():
    """Rungs 2, 6, 18; of n trials at a rung the best ⌊n / 3⌋ go on, at least one."""
    rule = halving_rule(grace_epochs=2)
    at_rung = [curve(9, value) for value in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert rule.reason_to_end(curve(9, 1.5), at_rung) is None  # second of 6, two go on
    assert rule.reason_to_end(curve(9, 2.5), at_rung) == (
        "epoch 2: loss 2.5 is number 3 of the 6 trials that reached epoch 2; the best 2 go on")
    assert rule.reason_to_end(curve(9, 1.5), at_rung[:4]) is not None  # second of 5, one goes on
    assert rule.reason_to_end(curve(9, 1e9), []) is None  # the first of all
    assert rule.reason_to_end(curve(9, 1.0), at_rung) is None  # as good as the best


@pytest.mark.parametrize("mode", ["min", "max"])
def test_successive_halving_agrees_with_sorting(mode):
    generator = np.random.default_rng(5)
    rule = halving_rule(mode=mode, grace_epochs=2, reduction_factor=2)
    sign = 1 if mode == "min" else -1
    num_pruned = 0
    for _ in range(300):
        others = [curve(*generator.normal(size=generator.integers(1, 12)).tolist()) for _ in range(generator.integers(0, 12))]
        own = curve(*generator.normal(size=generator.integers(1, 12)).tolist())
        epoch = len(own)
        expected = False
        if epoch in (2, 4, 8):
            values = np.array([other[epoch - 1][1] for other in others if len(other) >= epoch] + [own[-1][1]])
            promoted = np.argsort(sign * values)[:max(1, len(values) // 2)]
            expected = len(values) - 1 not in promoted
        num_pruned += expected
        assert (rule.reason_to_end(own, others) is not None) == expected
    assert num_pruned > 20


def test_successive_halving_judges_once_a_rung():
    others = [curve(*[0.0] * 20)] * 9
    rule = halving_rule(grace_epochs=2)
    judged = [epoch for epoch in range(1, 21) if rule.reason_to_end(curve(*[1.0] * epoch), others)]
    assert judged == [2, 6, 18]


def test_a_rung_counts_at_the_first_evaluation_that_reached_it():
    rule = halving_rule(grace_epochs=2)
    others = [[(1, 9.0), (4, 3.0), (5, 0.0)], [(3, 5.0)]]
    assert rule.reason_to_end([(1, 9.0), (5, 4.0)], others) is not None  # second of 3 at rung 2: 3, 4, 5
    assert rule.reason_to_end([(1, 9.0), (5, 2.9)], others) is None
    assert rule.reason_to_end([(1, 9.0), (5, 2.9), (5 + 2, 2.8)], others) is None  # at rung 6 there is no other yet
    assert rule.reason_to_end([(7, 1.0)], [[(7, 0.5)], [(7, 0.4)]]) is not None  # rungs 2 and 6 at once: the higher one counts


def test_nan_is_the_worst_value_at_a_rung():
    rule = halving_rule(grace_epochs=1, reduction_factor=2)
    assert "loss nan is number 2 of the 2 trials" in rule.reason_to_end(curve(math.nan), [curve(1e9)])
    assert rule.reason_to_end(curve(1e9), [curve(math.nan)] * 3) is None
    assert halving_rule(mode="max").reason_to_end(curve(math.nan), [curve(-1e9)]) is not None
    assert rule.reason_to_end([], [curve(1.0)]) is None


@pytest.mark.parametrize(("rule", "expected_alive"), [
    (median_rule(min_trials=3, grace_epochs=3), 6), (halving_rule(grace_epochs=3), 3)])
def test_pruning_saves_epochs_and_keeps_the_best_trial(rule, expected_alive):
    """Twelve trials one after the other whose curves fall to limits 1 … 12 in a mixed order."""
    limits = [5, 8, 2, 11, 1, 7, 12, 3, 9, 6, 10, 4]
    histories: dict[int, list] = {}
    for limit in limits:
        history: list = []
        histories[limit] = history
        for epoch in range(1, 28):
            history.append((epoch, limit * (1 + 1 / epoch)))
            if rule.reason_to_end(history, [other for each, other in histories.items() if each != limit]):
                break
    assert histories[1][-1][0] == 27
    finished = [limit for limit, history in histories.items() if history[-1][0] == 27]
    assert len(finished) <= expected_alive and 1 in finished
    assert sum(len(history) for history in histories.values()) < 0.7 * 12 * 27
