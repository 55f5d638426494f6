"""A model and callers for the tests of batching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from expman.runtimes.predictor import Predictor
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.wire.status import Code, StatusError

FOREVER_MICROS = 600_000_000
GUILTY = 666.0


class Doubler(Predictor):
    """A model of x -> 2 x that records what it is given, and runs no further than its gate lets it.

    Attributes:
        runs: the `x` of each run.
        sizes: the samples of each run.
        threads: the names of those that ran it.
        timeouts: `timeout_seconds` of each run.
        gate: open unless a test closes it.
    """

    signatures: dict = {"serving_default": None}

    def __init__(self) -> None:
        self.runs: list[np.ndarray] = []
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.timeouts: list[float | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_closed = False

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        assert not self.is_closed
        self.threads.add(threading.current_thread().name)
        self.sizes.append(len(feeds["x"]))
        self.runs.append(feeds["x"])
        self.timeouts.append(timeout_seconds)
        self.gate.wait()
        if feeds["x"].dtype == np.float64 and (feeds["x"] == GUILTY).any():
            raise StatusError(Code.INVALID_ARGUMENT, "666 is refused")
        return [{"y": 2 * feeds["x"], "one number": np.float64(1), "too few": feeds["x"][1:]}[name] for name in fetches]

    def close(self) -> None:
        self.is_closed = True


class Caller:
    """Hears what becomes of a request.

    Attributes:
        outcomes: the outputs or the error of each time it is told.
        threads: the names of those that told it.
        withdraw: what `submit` has returned.
    """

    def __init__(self, predictor: BatchedPredictor, values: Sequence[float], *, timeout_seconds: float | None = None) -> None:
        self.outcomes: list[list[np.ndarray] | Exception] = []
        self.threads: list[str] = []
        self.withdraw = predictor.submit({"x": np.array(values, float)}, ["y"], timeout_seconds=timeout_seconds,
                                         on_done=self._hear)

    def outcome(self) -> list[float] | StatusError:
        wait_until(lambda: self.outcomes)
        answer, = self.outcomes
        return answer if isinstance(answer, Exception) else answer[0].tolist()

    def _hear(self, outputs: list[np.ndarray] | None, error: Exception | None) -> None:
        assert (outputs is None) != (error is None)
        self.threads.append(threading.current_thread().name)
        self.outcomes.append(error if outputs is None else outputs)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.001)


def make_busy(predictor: BatchedPredictor, doubler: Doubler, values: Sequence[float] = (0,)) -> Caller:
    doubler.gate.clear()
    num_runs = len(doubler.sizes)
    caller = Caller(predictor, values)
    wait_until(lambda: len(doubler.sizes) > num_runs)
    return caller


@contextmanager
def opened_predictors(doubler: Doubler) -> Iterator[Callable[..., BatchedPredictor]]:
    """Yields what opens a predictor with one thread; closes them all."""
    predictors = []

    def open_predictor(**parameters: object) -> BatchedPredictor:
        predictors.append(BatchedPredictor(doubler, BatchingParameters(**{"num_batch_threads": 1, **parameters})))
        return predictors[-1]

    yield open_predictor
    doubler.gate.set()
    for predictor in predictors:
        predictor.close()
