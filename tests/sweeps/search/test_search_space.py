"""Search spaces: samples as flat hparams, every branch among them, points, and grids."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from hyperopt import hp, space_eval
from hyperopt.pyll.stochastic import sample

from expman.sweeps.search.search_space import (
    drawn_point,
    grid_points,
    hparams_at,
    hparams_of,
    is_expression,
    is_grid,
    labels_of,
    point_error,
    sample_hparams,
)


def flat_space() -> dict:
    return {"rate": hp.loguniform("rate", math.log(1e-4), 0), "neurons": hp.uniformint("neurons", 1, 20),
            "width": hp.quniform("width", 2, 10, 2), "seed": hp.randint("seed", 3, 7),
            "kind": hp.choice("kind", ["a", None, True]), "fixed": 5,
            "rare": hp.pchoice("rare", [(1e-6, "yes"), (1 - 1e-6, "no")])}


def conditional_space():
    layers = hp.choice("layers", [{"depth": 1}, {"depth": 2, "skip": hp.choice("skip", [False, True])}])
    return hp.choice("model", [{"kind": "small", "rate": hp.uniform("rate_small", 0, 1)}, {"kind": "large", "layers": layers}])


def test_a_sample_becomes_plain_python_scalars():
    hparams = hparams_of({"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True), "d": "x", "e": None,
                          "f": np.array([2])})
    assert hparams == {"a": 0.5, "b": 3, "c": True, "d": "x", "e": None, "f": 2}
    assert [type(value) for value in hparams.values()] == [float, int, bool, str, type(None), int]
    assert json.loads(json.dumps(hparams)) == hparams


def test_dicts_of_options_are_merged_and_their_name_is_dropped():
    assert hparams_of({"rate": 1.0, "model": {"kind": "a", "inner": {"depth": 2}}}) == {"rate": 1.0, "kind": "a", "depth": 2}


@pytest.mark.parametrize(("wrong", "expected"), [
    ({"a": 1, "inner": {"a": 2}}, "gives 'a' twice"), ({"a": (1, 2)}, "gives 'a' the value"),
    ({"a": np.zeros(3)}, "gives 'a' the value"), (0.5, "must give a dict"), ({1: 2}, "has the name 1")])
def test_a_sample_that_is_no_flat_dict_is_refused(wrong, expected):
    with pytest.raises(ValueError, match=expected):
        hparams_of(wrong)


def test_samples_have_the_values_that_hyperopt_itself_can_draw():
    hparams = sample_hparams(flat_space(), num_samples=300, seed=1)
    assert len(hparams) == 300
    reference = [sample(flat_space(), rng=np.random.default_rng(seed)) for seed in range(300)]
    for name in ("neurons", "width", "seed", "kind"):
        found = {repr(each[name]) for each in hparams}
        assert found == {repr(getattr(each[name], "item", lambda value=each[name]: value)()) for each in reference}, name
    assert {each["fixed"] for each in hparams} == {5}
    rates = np.log([each["rate"] for each in hparams])
    assert abs(np.mean(rates) - math.log(1e-2)) < 0.5  # the middle of the logarithms


def test_samples_repeat_with_the_seed_only():
    first, again, other = (sample_hparams(flat_space(), num_samples=20, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_every_option_is_sampled_even_an_improbable_one_and_when_few_samples_are_asked_for():
    assert {each["rare"] for each in sample_hparams(flat_space(), num_samples=1, seed=0)} == {"yes", "no"}
    samples = sample_hparams(conditional_space(), num_samples=1, seed=0)
    found = {(each["kind"], each.get("depth"), each.get("skip")) for each in samples}
    assert {("large", 2, False), ("large", 2, True)} <= found
    assert {"small", "large"} == {kind for kind, *_ in found} and any(depth == 1 for _, depth, _ in found)


def test_a_choice_that_is_used_twice_keeps_its_option():
    shared = hp.choice("shared", [1, 2])
    space = {"a": shared, "b": hp.choice("way", [{"c": shared}, {"d": 0}])}
    for each in sample_hparams(space, num_samples=30, seed=0):
        assert each.get("c", each["a"]) == each["a"]


def test_labels_are_those_of_the_expressions_not_the_names():
    assert labels_of(conditional_space()) == ["layers", "model", "rate_small", "skip"]
    assert labels_of({"x": hp.uniform("label of x", 0, 1)}) == ["label of x"]
    assert labels_of({"b": [1], "a": [2]}) == ["a", "b"]


def test_a_point_gives_the_hparams_that_hyperopt_gives():
    point = {"rate": 0.01, "neurons": 16.0, "width": 4.0, "seed": 5, "kind": 2, "rare": 0}
    assert hparams_at(flat_space(), point) == space_eval(flat_space(), point)
    hparams = hparams_at(flat_space(), json.loads(json.dumps(point)))
    assert hparams == {"rate": 0.01, "neurons": 16, "width": 4.0, "seed": 5, "kind": True, "rare": "yes", "fixed": 5}
    assert type(hparams["neurons"]) is int


def test_a_point_drops_the_labels_of_options_not_taken_and_has_plain_numbers():
    values = {"model": np.int64(1), "layers": np.float64(1), "skip": 0, "rate_small": np.float64(0.5)}
    point = drawn_point(conditional_space(), values)
    assert point == {"layers": 1, "model": 1, "skip": 0}
    assert {type(value) for value in point.values()} == {int}
    assert hparams_at(conditional_space(), point) == {"kind": "large", "depth": 2, "skip": False}


@pytest.mark.parametrize(("point", "expected"), [
    ({"model": 0, "rate_small": 0.5}, None), ({"model": 0, "rate_small": 0.5, "skip": 1}, None),
    ({"model": 1, "layers": 0}, None), ({"model": 1}, "lacks a value for 'layers'"), ({}, "lacks a value for 'model'"),
    ({"model": 1, "layers": 1}, "lacks a value for 'skip'"), ({"model": 2}, "gives 'model' a value that must lie in 0 … 1"),
    ({"model": True}, "gives 'model' a value that must be a number"), ({"modl": 0}, "Did you mean 'model'?")])
def test_a_point_of_a_conditional_space_needs_the_labels_of_its_options(point, expected):
    error = point_error(conditional_space(), point)
    assert error is None if expected is None else expected in error


@pytest.mark.parametrize(("expression", "inside", "outside"), [
    (hp.uniform("x", -5, 5), (-5, 0, 5), (-5.1, 5.1)), (hp.quniform("x", 1, 9, 2), (0, 2, 8, 10), (-1, 11)),
    (hp.loguniform("x", math.log(0.1), math.log(2)), (0.1, 1, 2), (0.09, 2.1)), (hp.randint("x", 3), (0, 2), (-1, 3, 1.5)),
    (hp.randint("x", 3, 7), (3, 6), (2, 7)), (hp.normal("x", 0, 1), (-1e6, 1e6), (math.inf, math.nan)),
    (hp.pchoice("x", [(0.2, "a"), (0.8, "b")]), (0, 1), (2,)), (hp.uniformint("x", 1, 4), (1, 4), (0, 5))],
    ids=["uniform", "quniform", "loguniform", "randint", "randint from", "normal", "pchoice", "uniformint"])
def test_a_value_of_a_point_must_be_one_that_can_be_drawn(expression, inside, outside):
    assert [point_error({"x": expression}, {"x": value}) for value in inside] == [None] * len(inside)
    assert all(point_error({"x": expression}, {"x": value}) for value in outside)


def test_the_values_that_are_drawn_are_valid_points():
    space = {name: each for name, each in flat_space().items() if name != "fixed"}
    labels = {"neurons": 20, "width": 10.0, "seed": 6, "kind": 2, "rare": 1, "rate": 1.0}
    assert point_error(space, labels) is None


def test_a_grid_gives_all_combinations_the_last_name_first():
    grid = {"a": [1, 2], "b": ["x", "y", None], "c": [0.5]}
    assert is_grid(grid) and not is_grid({"a": hp.uniform("a", 0, 1)})
    assert [tuple(point.values()) for point in grid_points(grid)] == list(product([1, 2], ["x", "y", None], [0.5]))
    assert point_error(grid, {"a": 2, "b": None, "c": 0.5}) is None
    assert "is none of ['x', 'y', None]. Got 'z'." in point_error(grid, {"a": 2, "b": "z", "c": 0.5})


def test_samples_of_a_grid_have_each_value_and_no_more_than_the_grid_has():
    samples = sample_hparams({"a": [1, 2], "b": ["x", "y", None]}, num_samples=100, seed=0)
    assert len(samples) == 6
    assert ({each["a"] for each in samples}, {each["b"] for each in samples}) == ({1, 2}, {"x", "y", None})
    assert len(sample_hparams({"a": [1], "b": list(range(9))}, num_samples=2, seed=0)) == 9


def test_only_hyperopts_expressions_are_expressions():
    assert is_expression(hp.uniform("x", 0, 1))
    assert not is_expression({"x": 1}) and not is_expression("x")
