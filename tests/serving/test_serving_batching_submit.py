"""Requests that nobody blocks a thread for get exactly one outcome each, and share runs with those that do."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from expman.saved_models.status import Code, StatusError
from expman.serving.batching import batch_queue
from expman.serving.batching.batch_queue import BatchQueue, Task
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters

_FOREVER_MICROS = 600_000_000
_GUILTY = 666.0


class _Doubler:
    """A model of x -> 2 x that runs no further than its gate lets it.

    Attributes:
        sizes: the samples of each run.
        threads: the names of those that ran it.
        gate: open unless a test closes it.
    """

    signatures: dict = {}

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        self.threads.add(threading.current_thread().name)
        self.sizes.append(len(feeds["x"]))
        self.gate.wait()
        if (feeds["x"] == _GUILTY).any():
            raise StatusError(Code.INVALID_ARGUMENT, "666 is refused")
        return [2 * feeds["x"]]

    def close(self) -> None:
        pass


class _Caller:
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
        _wait_until(lambda: self.outcomes)
        answer, = self.outcomes
        return answer if isinstance(answer, Exception) else answer[0].tolist()

    def _hear(self, outputs: list[np.ndarray] | None, error: Exception | None) -> None:
        assert (outputs is None) != (error is None)
        self.threads.append(threading.current_thread().name)
        self.outcomes.append(error if outputs is None else outputs)


@pytest.fixture
def doubler() -> _Doubler:
    return _Doubler()


@pytest.fixture
def opened(doubler: _Doubler) -> Iterator[Callable[..., BatchedPredictor]]:
    predictors = []

    def open_predictor(**parameters: object) -> BatchedPredictor:
        predictors.append(BatchedPredictor(doubler, BatchingParameters(**{"num_batch_threads": 1, **parameters})))
        return predictors[-1]

    yield open_predictor
    doubler.gate.set()
    for predictor in predictors:
        predictor.close()


def _wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.001)


def _make_busy(predictor: BatchedPredictor, doubler: _Doubler, values: Sequence[float] = (0,)) -> _Caller:
    doubler.gate.clear()
    num_runs = len(doubler.sizes)
    caller = _Caller(predictor, values)
    _wait_until(lambda: len(doubler.sizes) > num_runs)
    return caller


def test_answer_comes_once_from_a_thread_of_the_queue(opened: Callable) -> None:
    predictor = opened()
    caller = _Caller(predictor, [1, 2])
    assert caller.outcome() == [2, 4]
    predictor.close()
    assert len(caller.outcomes) == 1
    assert caller.threads == ["batches-0"]
    assert caller.withdraw() is False


def test_requests_gather_behind_a_busy_model_and_keep_nobody_waiting(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened()
    busy = _make_busy(predictor, doubler)
    callers = [_Caller(predictor, [value] * 2) for value in range(8)]
    assert not any(caller.outcomes for caller in (busy, *callers))
    doubler.gate.set()
    assert [caller.outcome() for caller in callers] == [[2 * value] * 2 for value in range(8)]
    assert doubler.sizes == [1, 16]


def test_errors_reach_only_those_who_are_to_blame(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened()
    _make_busy(predictor, doubler)
    callers = [_Caller(predictor, [value]) for value in (1, _GUILTY, 3)]
    doubler.gate.set()
    assert callers[0].outcome() == [2]
    assert callers[1].outcome().message == "666 is refused"
    assert callers[2].outcome() == [6]


def test_batch_that_waits_goes_when_its_time_is_over(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(batch_timeout_micros=20_000, num_batch_threads=2)
    assert [_Caller(predictor, [value]).outcome() for value in range(3)] == [[0], [2], [4]]


def test_each_of_several_waiting_batches_goes_when_its_time_is_over(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(batch_timeout_micros=50_000, num_batch_threads=2)
    callers = [_Caller(predictor, np.ones((1, width))) for width in (1, 2, 3)]
    assert [caller.outcome() for caller in callers] == [[[2] * width] for width in (1, 2, 3)]


def test_waiting_batch_is_watched_while_another_runs(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(batch_timeout_micros=50_000, num_batch_threads=2)
    doubler.gate.clear()
    for width in (1, 2):
        _Caller(predictor, np.ones((1, width)))
    _wait_until(lambda: len(doubler.sizes) == 2)


def test_request_without_samples_is_answered_by_the_thread_of_the_caller(opened: Callable) -> None:
    caller = _Caller(opened(), [])
    assert caller.outcomes[0][0].shape == (0,)
    assert caller.threads == [threading.current_thread().name]
    assert caller.withdraw() is False


@pytest.mark.parametrize(("values", "timeout_seconds", "code"), [
    (np.zeros(9), None, Code.INVALID_ARGUMENT), (np.float64(1), None, Code.INVALID_ARGUMENT),
    ([1], 0, Code.DEADLINE_EXCEEDED)], ids=["too large", "no batch", "late"])
def test_what_is_wrong_with_a_request_is_said_at_once(
        opened: Callable, doubler: _Doubler, values: object, timeout_seconds: float | None, code: Code) -> None:
    with pytest.raises(StatusError) as caught:
        _Caller(opened(max_batch_size=8), values, timeout_seconds=timeout_seconds)
    assert caught.value.code == code
    assert not doubler.sizes


def test_full_queue_refuses_a_request_and_never_answers_it(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1)
    _make_busy(predictor, doubler)
    waiting = _Caller(predictor, [1])
    told = []
    with pytest.raises(StatusError, match="currently 1 batches enqueued and max_enqueued_batches is 1") as caught:
        predictor.submit({"x": np.zeros(1)}, ["y"], timeout_seconds=None, on_done=lambda *outcome: told.append(outcome))
    assert caught.value.code == Code.UNAVAILABLE
    doubler.gate.set()
    assert waiting.outcome() == [2]
    predictor.close()
    assert not told


def test_batches_that_idle_threads_are_about_to_run_do_not_fill_the_queue(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=4)
    assert [caller.outcome() for caller in [_Caller(predictor, [value]) for value in range(4)]] == [[0], [2], [4], [6]]


def test_withdrawn_request_is_neither_computed_nor_answered(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened()
    _make_busy(predictor, doubler)
    first, second = _Caller(predictor, [1]), _Caller(predictor, [2, 2])
    assert first.withdraw() is True
    assert first.withdraw() is True
    doubler.gate.set()
    assert second.outcome() == [4, 4]
    predictor.close()
    assert doubler.sizes == [1, 2]
    assert not first.outcomes


def test_withdrawal_of_the_only_request_frees_its_place(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1)
    _make_busy(predictor, doubler)
    for _ in range(3):
        assert _Caller(predictor, [1]).withdraw() is True
    last = _Caller(predictor, [1])
    doubler.gate.set()
    assert last.outcome() == [2]


def test_request_that_runs_cannot_be_withdrawn(opened: Callable, doubler: _Doubler) -> None:
    caller = _make_busy(opened(), doubler, [4])
    assert caller.withdraw() is False
    doubler.gate.set()
    assert caller.outcome() == [8]


def test_large_request_is_answered_once_with_all_its_parts(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4, num_batch_threads=2)
    caller = _Caller(predictor, range(10))
    assert caller.outcome() == list(range(0, 20, 2))
    predictor.close()
    assert len(caller.outcomes) == 1
    assert sorted(doubler.sizes) == [2, 4, 4]


def test_large_request_fails_once_with_the_error_of_a_part(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=1)
    caller = _Caller(predictor, [1, _GUILTY, _GUILTY, 4])
    assert caller.outcome().message == "666 is refused"
    predictor.close()
    assert len(caller.outcomes) == 1


def test_large_request_that_waits_as_a_whole_is_withdrawn(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    _make_busy(predictor, doubler)
    caller = _Caller(predictor, range(4))
    assert caller.withdraw() is True
    doubler.gate.set()
    predictor.close()
    assert not caller.outcomes
    assert doubler.sizes == [1]


def test_large_request_of_which_a_part_runs_fails_once_when_it_is_withdrawn(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=6, enable_large_batch_splitting=True, max_execution_batch_size=2)
    caller = _make_busy(predictor, doubler, range(6))
    assert caller.withdraw() is False
    assert caller.withdraw() is False
    doubler.gate.set()
    assert caller.outcome().code == Code.CANCELLED
    predictor.close()
    assert len(caller.outcomes) == 1
    assert doubler.sizes == [2]


def test_outcome_that_cannot_be_handed_over_stops_nothing(
        opened: Callable, doubler: _Doubler, caplog: pytest.LogCaptureFixture) -> None:
    predictor = opened()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt("no one there")

    _make_busy(predictor, doubler)
    predictor.submit({"x": np.zeros(1)}, ["y"], timeout_seconds=None, on_done=fail)
    same_batch = _Caller(predictor, [1])
    with caplog.at_level(logging.ERROR):
        doubler.gate.set()
        assert same_batch.outcome() == [2]
    assert "no one there" in caplog.text
    assert _Caller(predictor, [3]).outcome() == [6]


def test_broken_run_is_told_to_its_requests_and_stops_nothing(
        opened: Callable, doubler: _Doubler, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = opened()
    with monkeypatch.context() as patch:
        patch.setattr(doubler, "run", lambda *_, **__: exec("raise SystemExit"))
        error = _Caller(predictor, [1]).outcome()
    assert (error.code, error.message) == (Code.INTERNAL, "The run that the request shared with others was broken off.")
    assert _Caller(predictor, [3]).outcome() == [6]


def test_submitted_requests_share_a_run_with_those_that_wait(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(max_batch_size=4, batch_timeout_micros=_FOREVER_MICROS)
    with ThreadPoolExecutor(2) as threads:
        callers = [_Caller(predictor, [value]) for value in (1, 2)]
        answers = list(threads.map(lambda value: predictor.run({"x": np.array([value], float)}, ["y"])[0].item(), (3, 4)))
    assert answers == [6, 8]
    assert [caller.outcome() for caller in callers] == [[2], [4]]
    assert doubler.sizes == [4]


def test_request_whose_time_is_over_in_the_queue_is_not_computed(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened()
    _make_busy(predictor, doubler)
    late, in_time = _Caller(predictor, [1], timeout_seconds=0.01), _Caller(predictor, [2, 2], timeout_seconds=600)
    time.sleep(0.02)
    doubler.gate.set()
    assert late.outcome().code == Code.DEADLINE_EXCEEDED
    assert in_time.outcome() == [4, 4]
    assert doubler.sizes == [1, 2]


def test_close_answers_those_who_wait_and_ends_the_threads(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(batch_timeout_micros=_FOREVER_MICROS, num_batch_threads=3)
    callers = [_Caller(predictor, np.full((1, width), 2)) for width in (1, 2, 3, 4)]
    predictor.close()
    assert [caller.outcomes[0][0].tolist() for caller in callers] == [[[4] * width] for width in (1, 2, 3, 4)]
    assert not any(thread.is_alive() for thread in predictor._queue._threads)
    with pytest.raises(StatusError, match="The model is being unloaded.") as caught:
        _Caller(predictor, [1])
    assert caught.value.code == Code.UNAVAILABLE


def test_no_more_threads_run_than_there_may_be(opened: Callable, doubler: _Doubler) -> None:
    predictor = opened(num_batch_threads=3, max_batch_size=1, max_enqueued_batches=100)
    assert not predictor._queue._threads
    doubler.gate.clear()
    callers = [_Caller(predictor, [value]) for value in range(20)]
    _wait_until(lambda: len(doubler.sizes) == 3)
    doubler.gate.set()
    assert [caller.outcome() for caller in callers] == [[2 * value] for value in range(20)]
    assert doubler.threads == {"batches-0", "batches-1", "batches-2"}
    assert len(predictor._queue._threads) == 3


def test_queue_goes_on_with_the_threads_that_it_could_start(
        opened: Callable, doubler: _Doubler, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = opened(num_batch_threads=2, max_batch_size=1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            _Caller(predictor, [1])
    _make_busy(predictor, doubler)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        callers = [_Caller(predictor, [value]) for value in (1, 2)]
        doubler.gate.set()
        assert [caller.outcome() for caller in callers] == [[2], [4]]
    assert len(doubler.sizes) == 3


def test_sleeping_threads_keep_no_tensors_in_memory(opened: Callable) -> None:
    predictor = opened()
    x = np.ones(1000)
    known = [weakref.ref(x)]
    gc.disable()
    try:
        predictor.submit({"x": x}, ["y"], timeout_seconds=None,
                         on_done=lambda outputs, _: known.append(weakref.ref(outputs[0])))
        del x
        _wait_until(lambda: len(known) == 2 and not any(reference() is not None for reference in known))
    finally:
        gc.enable()


@pytest.fixture
def wakes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    wakes = []
    wake = batch_queue._Runner.wake
    monkeypatch.setattr(batch_queue._Runner, "wake", lambda runner: (wakes.append(runner), wake(runner)))
    return wakes


def _all_sleep(queue: BatchQueue) -> bool:
    return len(queue._threads) == len(queue._idle) and not queue._called


@pytest.mark.parametrize(("num_tasks", "timeout_seconds", "max_wakes"), [(1, 0, 1), (8, 600, 2)],
                         ids=["due at once", "filled"])
def test_threads_are_woken_no_more_than_needed(
        wakes: list, num_tasks: int, timeout_seconds: float, max_wakes: int) -> None:
    together = threading.Barrier(3)
    queue = BatchQueue(lambda tasks: together.wait(60) if tasks[0].payload else None, max_batch_size=num_tasks,
                       timeout_seconds=timeout_seconds, max_enqueued_batches=10, max_running_batches=3)
    done = []

    def tasks(number: int, *, is_for_all: bool = False) -> list[Task]:
        return [Task(key=0, size=1, payload=is_for_all, deadline=None, on_done=done.append) for _ in range(number)]

    for _ in range(3):  # All three threads are started, and sleep.
        queue.add(tasks(num_tasks, is_for_all=True))
    _wait_until(lambda: len(done) == 3 * num_tasks and _all_sleep(queue))
    wakes.clear()
    last_awake = queue._idle[-1]
    for task in tasks(num_tasks):
        queue.add([task])
        _wait_until(lambda: not queue._called)  # Else fewer wakes would do.
    _wait_until(lambda: len(done) == 4 * num_tasks and _all_sleep(queue))
    assert 1 <= len(wakes) <= max_wakes
    assert set(wakes) == {last_awake}
    queue.close()


def _submit_until_closed(predictor: BatchedPredictor, seed: int,
                         callers: list[tuple[list[float], _Caller, bool | None]]) -> None:
    """Submits requests, and withdraws some of them; notes their values and what was said to the withdrawal."""
    generator = random.Random(seed)
    while True:
        values = [float(generator.randrange(600)) for _ in range(generator.randint(1, 9))]
        if generator.random() < 0.1:
            values[-1] = _GUILTY
        try:
            caller = _Caller(predictor, values, timeout_seconds=generator.choice([None, 0.001, 60]))
        except StatusError as error:
            assert error.code == Code.UNAVAILABLE
            if "unloaded" in error.message:
                return
            continue
        time.sleep(generator.choice([0, 0, 0.0005]))
        callers.append((values, caller, caller.withdraw() if generator.random() < 0.4 else None))


@pytest.mark.parametrize("parameters", [
    {"num_batch_threads": 1}, {"num_batch_threads": 3, "batch_timeout_micros": 500},
    {"num_batch_threads": 2, "batch_timeout_micros": 300, "enable_large_batch_splitting": True, "max_execution_batch_size": 4},
], ids=["one thread", "waiting", "splitting"])
def test_each_request_has_exactly_one_outcome_whatever_happens(doubler: _Doubler, parameters: dict) -> None:
    for round_number in range(4):
        predictor = BatchedPredictor(doubler, BatchingParameters(**{"max_batch_size": 12, **parameters}))
        callers: list[tuple[list[float], _Caller, bool | None]] = []
        with ThreadPoolExecutor(8) as threads:
            futures = [threads.submit(_submit_until_closed, predictor, 8 * round_number + number, callers)
                       for number in range(8)]
            time.sleep(random.Random(round_number).uniform(0.05, 0.2))
            predictor.close()
            for future in futures:
                future.result()
        assert len(callers) > 8
        for values, caller, is_withdrawn in callers:
            assert len(caller.outcomes) == (0 if is_withdrawn else 1)
            for outcome in caller.outcomes:
                if not isinstance(outcome, Exception):
                    assert outcome[0].tolist() == [2 * value for value in values]
                elif outcome.code == Code.INVALID_ARGUMENT:
                    assert _GUILTY in values
                elif outcome.code == Code.CANCELLED:
                    assert is_withdrawn is False
                else:
                    assert outcome.code == Code.DEADLINE_EXCEEDED
