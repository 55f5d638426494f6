"""A runtime says how it runs a model; who asks it need not know more than its `Predictor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from expman.runtimes.predictor import Predictor
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.wire.status import Code, StatusError


class Halver(Predictor):
    """A runtime that writes no more than it must."""

    def __init__(self) -> None:
        self.signatures = {}

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        if "x" not in feeds:
            raise StatusError(Code.INVALID_ARGUMENT, "x is missing")
        return [feeds["x"] / 2 for _ in fetches]

    def close(self) -> None:
        pass


def outcome(predictor: Predictor, feeds: Mapping[str, np.ndarray]) -> tuple:
    """Returns what `on_done` is told; fails when that is not before `submit` returns, or can be withdrawn afterwards."""
    told = []
    withdraw = predictor.submit(feeds, ["y"], timeout_seconds=None, on_done=lambda *outcome: told.append(outcome))
    assert withdraw() is False
    told, = told
    return told


def test_runtime_that_joins_nothing_computes_what_is_submitted_at_once() -> None:
    halver = Halver()
    assert halver.joins is False and halver.is_quick({}, []) is False
    outputs, error = outcome(halver, {"x": np.array([3.0])})
    assert error is None and outputs[0].tolist() == [1.5]


def test_error_of_what_is_submitted_is_told_and_not_raised() -> None:
    outputs, error = outcome(Halver(), {})
    assert outputs is None and (error.code, error.message) == (Code.INVALID_ARGUMENT, "x is missing")


def test_batching_makes_any_runtime_one_that_joins() -> None:
    predictor = BatchedPredictor(Halver(), BatchingParameters())
    try:
        assert predictor.joins is True
        outputs, = predictor.run({"x": np.array([3.0, 5.0])}, ["y"], timeout_seconds=60)
        assert outputs.tolist() == [1.5, 2.5]
        # Without samples there is nothing to share.
        outputs, error = outcome(predictor, {"x": np.zeros(0)})
        assert error is None and outputs[0].shape == (0,)
    finally:
        predictor.close()


def test_runtime_without_a_way_to_run_cannot_be_made() -> None:
    class Unfinished(Predictor):
        """Lacks `run` and `close`."""

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()
