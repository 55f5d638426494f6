"""Names that hyperopt does not promise: all are there; without each a space is read the same, and samples hold all options."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hyperopt import hp

from expman.sweeps.search import hyperopt_internals
from expman.sweeps.search.search_space import (
    drawn_point,
    hparams_at,
    is_expression,
    labels_of,
    point_error,
    sample_hparams,
    space_error,
)

NAMES = [hyperopt_internals._PYLL, hyperopt_internals._DRAW, hyperopt_internals._LITERALS]
SPACE = {"rate": hp.loguniform("rate", math.log(1e-3), 0), "width": hp.quniform("width", 2, 10, 2), "seed": hp.randint("seed", 3, 7),
         "net": hp.choice("net", [{"kind": "a", "depth": hp.uniformint("depth", 1, 4)}, {"kind": "b"},
                                  {"kind": "c", "act": hp.pchoice("act", [(0.2, "relu"), (0.8, "tanh")])}])}
POINT = {"rate": 0.25, "width": 4.0, "seed": 5, "net": 2, "act": 1}


@pytest.fixture(params=[None, *NAMES], ids=["all there", "no pyll", "no drawing", "no literals"])
def missing(request, monkeypatch):
    monkeypatch.setattr(hyperopt_internals, "MISSING", frozenset({request.param} - {None}))
    return request.param


def test_all_names_are_there_in_the_version_that_the_project_pins():
    assert not hyperopt_internals.MISSING


def test_labels_points_and_hparams_are_read_alike(missing):
    assert labels_of(SPACE) == ["act", "depth", "net", "rate", "seed", "width"]
    assert hparams_at(SPACE, POINT) == {"rate": 0.25, "width": 4.0, "seed": 5, "kind": "c", "act": "tanh"}
    assert drawn_point(SPACE, {**POINT, "depth": 3}) == POINT  # without the label of an option that is not taken
    assert space_error(SPACE, algorithm="tpe") is None and is_expression(SPACE["net"]) and not is_expression("rate")
    assert "lacks a value for 'act'" in point_error(SPACE, {key: POINT[key] for key in POINT if key != "act"})


def test_samples_hold_each_option_and_stay_within_bounds(missing):
    samples = sample_hparams(SPACE, num_samples=12, seed=3)
    assert {sample["kind"] for sample in samples} == {"a", "b", "c"}
    assert {sample["act"] for sample in samples if sample["kind"] == "c"} == {"relu", "tanh"}
    assert all(1e-3 <= sample["rate"] <= 1 and sample["width"] % 2 == 0 and 3 <= sample["seed"] < 7 for sample in samples)
    assert samples == sample_hparams(SPACE, num_samples=12, seed=3) != sample_hparams(SPACE, num_samples=12, seed=4)


def test_bounds_are_held_against_a_point_where_they_can_be_read(missing):
    error = point_error(SPACE, {**POINT, "rate": 7.0})
    assert (error is None) == (missing == hyperopt_internals._LITERALS)


def test_an_option_that_is_never_drawn_is_told(missing, monkeypatch):
    monkeypatch.setattr(hyperopt_internals, "_MOST_DRAWS", 20)
    space = {"a": hp.pchoice("a", [(1.0, 1), (0.0, 2)])}
    if missing in NAMES[:2]:
        with pytest.raises(ValueError, match="no sample in 20 has {'a': 1}: give that option a larger probability"):
            hyperopt_internals.drawn_sample(space, given={"a": 1}, generator=np.random.default_rng(0))
    else:
        assert hyperopt_internals.drawn_sample(space, given={"a": 1}, generator=np.random.default_rng(0)) == {"a": 2}
