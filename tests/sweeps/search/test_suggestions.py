"""Suggestions: the same as hyperopt's own `fmin`, exact after a restart, different in parallel; grids and early stopping."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import hyperopt
import numpy as np
import pytest
from hyperopt import anneal, hp, rand, tpe
from hyperopt.early_stop import no_progress_loss

from expman.errors import UserCodeError, UserExceptionError
from expman.sweeps.search.search_space import point_error
from expman.sweeps.search.suggestions import Suggestion, Suggestions
from expman.sweeps.sweep_file import SWEEP_SETTINGS, Sweep

ALGORITHMS = {"tpe": partial(tpe.suggest, verbose=False), "random": rand.suggest, "anneal": anneal.suggest}


def make_sweep(space, **values) -> Sweep:
    defaults = {setting.name: setting.default for setting in SWEEP_SETTINGS}
    return Sweep(values=defaults | {"space": space, "max_trials": 100, "mode": "min"} | values, file=Path("mysweep.py"),
                 settings_file=Path("mysettings.py"), folder=Path("sweep"))


def conditional_space():
    return hp.choice("model", [
        {"kind": "a", "x": hp.uniform("xa", -5, 5)},
        {"kind": "b", "x": hp.normal("xb", 0, 2), "n": hp.uniformint("n", 1, 9), "late": hp.choice("late", [True, False])}])


def loss_of(hparams) -> float:
    return (hparams["x"] - 1) ** 2 + hparams.get("n", 3) / 10 + hparams.get("late", 0)


def outcome_of(number: int, hparams) -> tuple[str, float | None]:
    """Some trials fail and some are pruned."""
    if number % 7 == 3:
        return "failed", None
    return ("pruned" if number % 5 == 0 else "finished"), loss_of(hparams)


def run(suggestions: Suggestions, numbers, *, outcome: Callable = outcome_of) -> list[Suggestion]:
    asked = []
    for number in numbers:
        (suggestion,) = suggestions.ask([number])
        status, value = outcome(number, suggestion.hparams)
        suggestions.tell(suggestion, status=status, value=value)
        asked.append(suggestion)
    return asked


def retell(suggestions: Suggestions, told: list[Suggestion]) -> None:
    """Tells outcomes as a sweep does after a restart: from what JSON kept."""
    for suggestion in told:
        kept = Suggestion(**json.loads(json.dumps(vars(suggestion))))
        status, value = outcome_of(kept.number, kept.hparams)
        suggestions.tell(kept, status=status, value=json.loads(json.dumps(value)))


def fmin_samples(algorithm: str, *, num_trials: int, sign: int = 1) -> list[dict]:
    """What `hyperopt.fmin` tries when its algorithm gets the seeds that belong to the numbers of trials."""
    samples = []

    def objective(sample):
        samples.append(sample)
        _status, value = outcome_of(len(samples), sample)
        return {"status": "fail"} if value is None else {"status": "ok", "loss": value}

    def with_own_seed(new_ids, domain, trials, seed):
        number = new_ids[0] + 1
        own = int(np.random.SeedSequence([42, number]).generate_state(1)[0]) >> 1
        return ALGORITHMS[algorithm](new_ids, domain, trials, own + (1 if algorithm == "anneal" else 0))  # it adds the id

    hyperopt.fmin(objective, conditional_space(), algo=with_own_seed, max_evals=num_trials, rstate=np.random.default_rng(0),
                  show_progressbar=False, verbose=False)
    return samples


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_suggestions_are_those_of_fmin_with_the_same_seeds(algorithm):
    asked = run(Suggestions(make_sweep(conditional_space(), algorithm=algorithm)), range(1, 41))
    assert [suggestion.hparams for suggestion in asked] == fmin_samples(algorithm, num_trials=40)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_restart_anywhere_leaves_the_sequence_as_it_is(algorithm):
    sweep = make_sweep(conditional_space(), algorithm=algorithm, points_to_evaluate=[{"model": 0, "xa": 2}])
    whole = run(Suggestions(sweep), range(1, 36))
    for interrupted_after in (0, 1, 2, 21, 34):
        restarted = Suggestions(sweep)
        retell(restarted, whole[:interrupted_after])
        rest = run(restarted, range(interrupted_after + 1, 36))
        assert [*whole[:interrupted_after], *rest] == whole, interrupted_after


def test_the_order_of_telling_does_not_matter():
    sweep = make_sweep(conditional_space())
    whole = run(Suggestions(sweep), range(1, 31))
    restarted = Suggestions(sweep)
    retell(restarted, whole[29::-1])
    assert restarted.ask([31]) == run(Suggestions(sweep), range(1, 32))[30:]


def test_asking_for_an_interrupted_trial_again_gives_it_again():
    suggestions = Suggestions(make_sweep(conditional_space()))
    run(suggestions, range(1, 25))
    assert suggestions.ask([25]) == suggestions.ask([25])


def test_other_seeds_give_other_sequences():
    first, other = (run(Suggestions(make_sweep(conditional_space(), random_seed=seed)), range(1, 25)) for seed in (1, 2))
    assert all(one.point != two.point for one, two in zip(first, other))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_parallel_suggestions_differ(algorithm):
    suggestions = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}, algorithm=algorithm))
    run(suggestions, range(1, 31))
    asked = suggestions.ask(list(range(31, 39)))
    assert len({suggestion.hparams["x"] for suggestion in asked}) == 8
    assert [suggestion.number for suggestion in asked] == list(range(31, 39))


def test_trials_that_run_change_the_next_suggestion_as_failed_ones_do():
    def next_after(*, status: str | None) -> Suggestion:
        suggestions = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}))
        run(suggestions, range(1, 31), outcome=lambda _, hparams: ("finished", loss_of(hparams)))
        if status:
            for number, near in enumerate(np.linspace(-0.2, 0.2, 9), start=32):
                x = undisturbed.hparams["x"] + near
                suggestions.tell(Suggestion(number, {"x": x}, {"x": x}), status=status, value=None)
        return suggestions.ask([31])[0]

    undisturbed = next_after(status=None)
    assert abs(next_after(status="running").hparams["x"] - undisturbed.hparams["x"]) > 0.1
    assert next_after(status="running") == next_after(status="failed")  # hyperopt takes both for as bad as can be


def test_tpe_finds_better_points_than_random_search():
    names = ["x", "y", "z", "w"]

    def distance(hparams) -> float:
        return sum((hparams[name] - 1) ** 2 for name in names)

    def best_of(algorithm: str, seed: int) -> float:
        sweep = make_sweep({name: hp.uniform(name, -5, 5) for name in names}, algorithm=algorithm, random_seed=seed)
        asked = run(Suggestions(sweep), range(1, 61), outcome=lambda _, hparams: ("finished", distance(hparams)))
        return min(distance(suggestion.hparams) for suggestion in asked)

    assert median(best_of("tpe", seed) for seed in range(4)) < 0.7 * median(best_of("random", seed) for seed in range(9))


def test_max_is_min_of_the_negative():
    space = {"x": hp.uniform("x", -5, 5)}
    smallest = run(Suggestions(make_sweep(space)), range(1, 31), outcome=lambda _, each: ("finished", (each["x"] - 1) ** 2))
    largest = run(Suggestions(make_sweep(space, mode="max")), range(1, 31),
                  outcome=lambda _, each: ("finished", -(each["x"] - 1) ** 2))
    assert smallest == largest
    assert median(abs(each.hparams["x"] - 1) for each in smallest[-5:]) < 1.5


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_counts_as_a_failure(value):
    def next_after(*outcome):
        suggestions = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}))
        run(suggestions, range(1, 31), outcome=lambda number, hparams: (
            outcome if number == 30 else ("finished", loss_of(hparams))))
        return suggestions.ask([31])

    assert next_after("finished", value) == next_after("failed", None) == next_after("pruned", value)
    assert next_after("finished", 0.0) != next_after("failed", None)


def test_first_points_come_first_and_are_learned_from():
    points = [{"model": 1, "xb": 1, "n": 3, "late": 0, "xa": 5}, {"model": 0, "xa": -1.5}]
    suggestions = Suggestions(make_sweep(conditional_space(), points_to_evaluate=points))
    first, second, third = run(suggestions, [1, 2, 3])
    assert first.hparams == {"kind": "b", "x": 1.0, "n": 3, "late": True} and "xa" not in first.point
    assert second == Suggestion(2, {"kind": "a", "x": -1.5}, {"model": 0, "xa": -1.5})
    assert third.point not in (first.point, second.point)


def test_suggestions_are_plain_python():
    for suggestion in run(Suggestions(make_sweep(conditional_space())), range(1, 26)):
        assert Suggestion(**json.loads(json.dumps(vars(suggestion)))) == suggestion
        for value in [*suggestion.hparams.values(), *suggestion.point.values()]:
            assert type(value) in (bool, int, float, str), value


def test_telling_again_replaces():
    suggestions = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}))
    asked = run(suggestions, range(1, 31), outcome=lambda *_: ("failed", None))
    for suggestion in asked:
        suggestions.tell(suggestion, status="finished", value=loss_of(suggestion.hparams))
    fresh = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}))
    for suggestion in asked:
        fresh.tell(suggestion, status="finished", value=loss_of(suggestion.hparams))
    assert suggestions.ask([31]) == fresh.ask([31])


def test_an_unknown_status_is_refused():
    suggestions = Suggestions(make_sweep({"x": hp.uniform("x", -5, 5)}))
    with pytest.raises(ValueError, match="status must be one of running, finished, pruned, failed. Got 'done'."):
        suggestions.tell(Suggestion(1, {"x": 1.0}, {"x": 1.0}), status="done", value=1.0)


@pytest.mark.parametrize(("point", "error"), [({"y": 1.0}, "names 'y'"), ({"x": 7.0}, "must lie in -5 … 5. Got 7.0"),
                                              ({}, "lacks a value for 'x'")])
def test_trials_outside_a_changed_space_do_not_count_and_that_is_told(point, error, caplog):
    sweep = make_sweep({"x": hp.uniform("x", -5, 5)}, early_stop_fn=no_progress_loss(1))
    suggestions = Suggestions(sweep)
    for number in (1, 2):
        suggestions.tell(Suggestion(number, dict(point), point), status="finished", value=1.0)
    assert "Trial 2 does not count for the search, as the space has changed: its point " in caplog.text
    assert error in caplog.text
    assert suggestions.ask([3]) == Suggestions(sweep).ask([3])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_whatever_hyperopt_suggests_lies_inside_the_space(algorithm):
    space = {"uniform": hp.uniform("uniform", -1, 1), "quniform": hp.quniform("quniform", 1, 9, 2),
             "loguniform": hp.loguniform("loguniform", -9, 3), "qloguniform": hp.qloguniform("qloguniform", 0, 3, 1),
             "normal": hp.normal("normal", 5, 1), "qnormal": hp.qnormal("qnormal", 5, 1, 0.5),
             "lognormal": hp.lognormal("lognormal", 0, 1), "qlognormal": hp.qlognormal("qlognormal", 1, 1, 1),
             "randint": hp.randint("randint", 4), "randint_from": hp.randint("randint_from", 3, 9),
             "uniformint": hp.uniformint("uniformint", 1, 5), "choice": hp.choice("choice", ["a", "b", "c"]),
             "pchoice": hp.pchoice("pchoice", [(0.3, True), (0.7, False)])}
    suggestions = Suggestions(make_sweep(space, algorithm=algorithm))
    for suggestion in run(suggestions, range(1, 41), outcome=lambda _, hparams: ("finished", hparams["uniform"])):
        assert point_error(space, suggestion.point) is None
        assert 3 <= suggestion.hparams["randint_from"] < 9 and 0 <= suggestion.hparams["randint"] < 4


def test_a_grid_is_exhausted_once_and_needs_no_history():
    grid = {"a": [1, 2, 3], "b": ["x", None]}
    suggestions = Suggestions(make_sweep(grid, algorithm="grid", points_to_evaluate=[{"a": 2, "b": None}]))
    asked = suggestions.ask(list(range(1, 10)))
    assert [tuple(each.hparams.values()) for each in asked] == [
        (2, None), (1, "x"), (1, None), (2, "x"), (3, "x"), (3, None)]
    assert [each.point == each.hparams for each in asked] == [True] * 6
    assert suggestions.ask([7]) == []
    assert Suggestions(make_sweep(grid, algorithm="grid")).ask([6])[0].hparams == {"a": 3, "b": None}


def test_early_stopping_ends_where_fmin_ends_and_after_a_restart_too():
    losses = [5.0, 4.0, 4.5, 3.0, 3.1, 3.2, 3.3, 3.4, 2.0, 1.0]
    trials = hyperopt.Trials()
    remaining = iter(losses)
    hyperopt.fmin(lambda _: next(remaining), hp.uniform("x", 0, 1), algo=rand.suggest, max_evals=10, trials=trials,
                  early_stop_fn=no_progress_loss(3), rstate=np.random.default_rng(0), verbose=False, show_progressbar=False)
    expected = len(trials.trials)
    assert 3 < expected < 10

    def stops_after(*, restart_at: int) -> int:
        sweep = make_sweep({"x": hp.uniform("x", 0, 1)}, early_stop_fn=no_progress_loss(3))
        suggestions = Suggestions(sweep)
        told = []
        for number, loss in enumerate(losses, start=1):
            if number == restart_at:
                suggestions = Suggestions(make_sweep(sweep.space, early_stop_fn=no_progress_loss(3)))
                for suggestion, value in told:
                    suggestions.tell(suggestion, status="finished", value=value)
            told.append((suggestions.ask([number])[0], loss))
            suggestions.tell(told[-1][0], status="finished", value=loss)
            if suggestions.stop_reason():
                assert suggestions.stop_reason() == f"early_stop_fn ends the sweep after trial {number}"
                return number
        return 0

    assert {stops_after(restart_at=number) for number in (0, 1, 4, expected)} == {expected}


def test_early_stopping_sees_hyperopts_trials_with_losses_that_are_best_when_small():
    seen = []

    def stop(trials, *arguments):
        assert isinstance(trials, hyperopt.Trials)
        seen.append(([trial["tid"] for trial in trials.trials], trials.losses(), trials.best_trial["tid"], arguments))
        return False, [len(trials)]

    suggestions = Suggestions(make_sweep({"x": hp.uniform("x", 0, 1)}, mode="max", early_stop_fn=stop))
    first, second, third, _ = suggestions.ask([1, 2, 3, 4])
    suggestions.tell(third, status="pruned", value=0.25)
    suggestions.tell(first, status="failed", value=None)
    assert suggestions.stop_reason() is None
    suggestions.tell(second, status="finished", value=0.75)
    suggestions.tell(second, status="finished", value=0.75)
    assert suggestions.stop_reason() is None and suggestions.stop_reason() is None
    assert seen == [([3], [-0.25], 3, ()), ([3, 1, 2], [-0.25, None, -0.75], 2, (1,))]


def test_early_stopping_that_breaks_the_contract_is_told():
    def told(early_stop_fn):
        suggestions = Suggestions(make_sweep({"x": hp.uniform("x", 0, 1)}, early_stop_fn=early_stop_fn))
        suggestions.tell(suggestions.ask([1])[0], status="finished", value=1.0)
        return suggestions

    with pytest.raises(UserCodeError, match="mysweep.py: early_stop_fn must return"):
        told(no_progress_loss).stop_reason()  # forgotten call
    with pytest.raises(UserExceptionError, match="early_stop_fn raised an exception(.|\n)*no such loss"):
        told(lambda trials: {}["no such loss"]).stop_reason()


def test_atpe_is_exact_after_a_restart_and_leaves_the_global_generators_alone():
    pytest.importorskip("lightgbm", reason="atpe needs lightgbm, which requirements.txt leaves to those who use it")
    sweep = make_sweep({"x": hp.uniform("x", -5, 5), "kind": hp.choice("kind", ["a", "b"])}, algorithm="atpe")
    random.seed(7)
    np.random.seed(7)
    whole = run(Suggestions(sweep), range(1, 21))
    after = random.random(), np.random.random()
    random.seed(7)
    np.random.seed(7)
    assert after == (random.random(), np.random.random())
    restarted = Suggestions(sweep)
    retell(restarted, whole[:15])
    assert run(restarted, range(16, 21)) == whole[15:]
    assert len({suggestion.hparams["x"] for suggestion in whole}) == 20
