"""The threads that run batches: no more than needed, woken no more than needed, and none lost."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from expman.serving.batching import batch_queue
from expman.serving.batching.batch_queue import BatchQueue, Task
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.wire.status import Code, StatusError
from tests.support.batching_models import GUILTY, Caller, Doubler, make_busy, opened_predictors, wait_until


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def opened(doubler: Doubler) -> Iterator[Callable[..., BatchedPredictor]]:
    with opened_predictors(doubler) as open_predictor:
        yield open_predictor


def test_no_more_threads_run_than_there_may_be(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(num_batch_threads=3, max_batch_size=1, max_enqueued_batches=100)
    assert not predictor._queue._threads
    doubler.gate.clear()
    callers = [Caller(predictor, [value]) for value in range(20)]
    wait_until(lambda: len(doubler.sizes) == 3)
    doubler.gate.set()
    assert [caller.outcome() for caller in callers] == [[2 * value] for value in range(20)]
    assert doubler.threads == {"batches-0", "batches-1", "batches-2"}
    assert len(predictor._queue._threads) == 3


def test_queue_goes_on_with_the_threads_that_it_could_start(
        opened: Callable, doubler: Doubler, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = opened(num_batch_threads=2, max_batch_size=1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            Caller(predictor, [1])
    make_busy(predictor, doubler)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        callers = [Caller(predictor, [value]) for value in (1, 2)]
        doubler.gate.set()
        assert [caller.outcome() for caller in callers] == [[2], [4]]
    assert len(doubler.sizes) == 3


def test_sleeping_threads_keep_no_tensors_in_memory(opened: Callable, doubler: Doubler) -> None:
    predictor = opened()
    x = np.ones(1000)
    known = [weakref.ref(x)]
    gc.disable()
    try:
        predictor.submit({"x": x}, ["y"], timeout_seconds=None,
                         on_done=lambda outputs, _: known.append(weakref.ref(outputs[0])))
        del x
        wait_until(lambda: len(known) == 2)
        doubler.runs.clear()
        wait_until(lambda: not any(reference() is not None for reference in known))
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
    wait_until(lambda: len(done) == 3 * num_tasks and _all_sleep(queue))
    wakes.clear()
    last_awake = queue._idle[-1]
    for task in tasks(num_tasks):
        queue.add([task])
        wait_until(lambda: not queue._called)  # Else fewer wakes would do.
    wait_until(lambda: len(done) == 4 * num_tasks and _all_sleep(queue))
    assert 1 <= len(wakes) <= max_wakes
    assert set(wakes) == {last_awake}
    queue.close()


def _submit_until_closed(predictor: BatchedPredictor, seed: int,
                         callers: list[tuple[list[float], Caller, bool | None]]) -> None:
    """Submits requests, and withdraws some of them; notes their values and what was said to the withdrawal."""
    generator = random.Random(seed)
    while True:
        values = [float(generator.randrange(600)) for _ in range(generator.randint(1, 9))]
        if generator.random() < 0.1:
            values[-1] = GUILTY
        try:
            caller = Caller(predictor, values, timeout_seconds=generator.choice([None, 0.001, 60]))
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
def test_each_request_has_exactly_one_outcome_whatever_happens(parameters: dict) -> None:
    for round_number in range(4):
        predictor = BatchedPredictor(Doubler(), BatchingParameters(**{"max_batch_size": 12, **parameters}))
        callers: list[tuple[list[float], Caller, bool | None]] = []
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
                    assert GUILTY in values
                elif outcome.code == Code.CANCELLED:
                    assert is_withdrawn is False
                else:
                    assert outcome.code == Code.DEADLINE_EXCEEDED
