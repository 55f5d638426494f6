"""Requests that nobody blocks a thread for get exactly one outcome each, and share runs with those that do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.wire.status import Code, StatusError
from tests.support.batching_models import FOREVER_MICROS, GUILTY, Caller, Doubler, make_busy, opened_predictors, wait_until


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def opened(doubler: Doubler) -> Iterator[Callable[..., BatchedPredictor]]:
    with opened_predictors(doubler) as open_predictor:
        yield open_predictor


def test_answer_comes_once_from_a_thread_of_the_queue(opened: Callable) -> None:
    predictor = opened()
    caller = Caller(predictor, [1, 2])
    assert caller.outcome() == [2, 4]
    predictor.close()
    assert len(caller.outcomes) == 1
    assert caller.threads == ["batches-0"]
    assert caller.withdraw() is False


def test_requests_gather_behind_a_busy_model_and_keep_nobody_waiting(opened: Callable, doubler: Doubler) -> None:
    predictor = opened()
    busy = make_busy(predictor, doubler)
    callers = [Caller(predictor, [value] * 2) for value in range(8)]
    assert not any(caller.outcomes for caller in (busy, *callers))
    doubler.gate.set()
    assert [caller.outcome() for caller in callers] == [[2 * value] * 2 for value in range(8)]
    assert doubler.sizes == [1, 16]


def test_errors_reach_only_those_who_are_to_blame(opened: Callable, doubler: Doubler) -> None:
    predictor = opened()
    make_busy(predictor, doubler)
    callers = [Caller(predictor, [value]) for value in (1, GUILTY, 3)]
    doubler.gate.set()
    assert callers[0].outcome() == [2]
    assert callers[1].outcome().message == "666 is refused"
    assert callers[2].outcome() == [6]


def test_batch_that_waits_goes_when_its_time_is_over(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(batch_timeout_micros=20_000, num_batch_threads=2)
    assert [Caller(predictor, [value]).outcome() for value in range(3)] == [[0], [2], [4]]


def test_each_of_several_waiting_batches_goes_when_its_time_is_over(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(batch_timeout_micros=50_000, num_batch_threads=2)
    callers = [Caller(predictor, np.ones((1, width))) for width in (1, 2, 3)]
    assert [caller.outcome() for caller in callers] == [[[2] * width] for width in (1, 2, 3)]


def test_waiting_batch_is_watched_while_another_runs(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(batch_timeout_micros=50_000, num_batch_threads=2)
    doubler.gate.clear()
    for width in (1, 2):
        Caller(predictor, np.ones((1, width)))
    wait_until(lambda: len(doubler.sizes) == 2)


def test_request_without_samples_is_answered_by_the_thread_of_the_caller(opened: Callable) -> None:
    caller = Caller(opened(), [])
    assert caller.outcomes[0][0].shape == (0,)
    assert caller.threads == [threading.current_thread().name]
    assert caller.withdraw() is False


@pytest.mark.parametrize(("values", "timeout_seconds", "code"), [
    (np.zeros(9), None, Code.INVALID_ARGUMENT), (np.float64(1), None, Code.INVALID_ARGUMENT),
    ([1], 0, Code.DEADLINE_EXCEEDED)], ids=["too large", "no batch", "late"])
def test_what_is_wrong_with_a_request_is_said_at_once(
        opened: Callable, doubler: Doubler, values: object, timeout_seconds: float | None, code: Code) -> None:
    with pytest.raises(StatusError) as caught:
        Caller(opened(max_batch_size=8), values, timeout_seconds=timeout_seconds)
    assert caught.value.code == code
    assert not doubler.sizes


def test_full_queue_refuses_a_request_and_never_answers_it(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1)
    make_busy(predictor, doubler)
    waiting = Caller(predictor, [1])
    told = []
    with pytest.raises(StatusError, match="currently 1 batches enqueued and max_enqueued_batches is 1") as caught:
        predictor.submit({"x": np.zeros(1)}, ["y"], timeout_seconds=None, on_done=lambda *outcome: told.append(outcome))
    assert caught.value.code == Code.UNAVAILABLE
    doubler.gate.set()
    assert waiting.outcome() == [2]
    predictor.close()
    assert not told


def test_batches_that_idle_threads_are_about_to_run_do_not_fill_the_queue(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=4)
    assert [caller.outcome() for caller in [Caller(predictor, [value]) for value in range(4)]] == [[0], [2], [4], [6]]


def test_withdrawn_request_is_neither_computed_nor_answered(opened: Callable, doubler: Doubler) -> None:
    predictor = opened()
    make_busy(predictor, doubler)
    first, second = Caller(predictor, [1]), Caller(predictor, [2, 2])
    assert first.withdraw() is True
    assert first.withdraw() is True
    doubler.gate.set()
    assert second.outcome() == [4, 4]
    predictor.close()
    assert doubler.sizes == [1, 2]
    assert not first.outcomes


def test_withdrawal_of_the_only_request_frees_its_place(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=1, max_enqueued_batches=1)
    make_busy(predictor, doubler)
    for _ in range(3):
        assert Caller(predictor, [1]).withdraw() is True
    last = Caller(predictor, [1])
    doubler.gate.set()
    assert last.outcome() == [2]


def test_request_that_runs_cannot_be_withdrawn(opened: Callable, doubler: Doubler) -> None:
    caller = make_busy(opened(), doubler, [4])
    assert caller.withdraw() is False
    doubler.gate.set()
    assert caller.outcome() == [8]


def test_large_request_is_answered_once_with_all_its_parts(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4, num_batch_threads=2)
    caller = Caller(predictor, range(10))
    assert caller.outcome() == list(range(0, 20, 2))
    predictor.close()
    assert len(caller.outcomes) == 1
    assert sorted(doubler.sizes) == [2, 4, 4]


def test_large_request_fails_once_with_the_error_of_a_part(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=1)
    caller = Caller(predictor, [1, GUILTY, GUILTY, 4])
    assert caller.outcome().message == "666 is refused"
    predictor.close()
    assert len(caller.outcomes) == 1


def test_large_request_that_waits_as_a_whole_is_withdrawn(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    make_busy(predictor, doubler)
    caller = Caller(predictor, range(4))
    assert caller.withdraw() is True
    doubler.gate.set()
    predictor.close()
    assert not caller.outcomes
    assert doubler.sizes == [1]


def test_large_request_of_which_a_part_runs_fails_once_when_it_is_withdrawn(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=6, enable_large_batch_splitting=True, max_execution_batch_size=2)
    caller = make_busy(predictor, doubler, range(6))
    assert caller.withdraw() is False
    assert caller.withdraw() is False
    doubler.gate.set()
    assert caller.outcome().code == Code.CANCELLED
    predictor.close()
    assert len(caller.outcomes) == 1
    assert doubler.sizes == [2]


def test_outcome_that_cannot_be_handed_over_stops_nothing(
        opened: Callable, doubler: Doubler, caplog: pytest.LogCaptureFixture) -> None:
    predictor = opened()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt("no one there")

    make_busy(predictor, doubler)
    predictor.submit({"x": np.zeros(1)}, ["y"], timeout_seconds=None, on_done=fail)
    same_batch = Caller(predictor, [1])
    with caplog.at_level(logging.ERROR):
        doubler.gate.set()
        assert same_batch.outcome() == [2]
    assert "no one there" in caplog.text
    assert Caller(predictor, [3]).outcome() == [6]


def test_broken_run_is_told_to_its_requests_and_stops_nothing(
        opened: Callable, doubler: Doubler, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = opened()
    with monkeypatch.context() as patch:
        patch.setattr(doubler, "run", lambda *_, **__: exec("raise SystemExit"))
        error = Caller(predictor, [1]).outcome()
    assert (error.code, error.message) == (Code.INTERNAL, "The run that the request shared with others was broken off.")
    assert Caller(predictor, [3]).outcome() == [6]


def test_submitted_requests_share_a_run_with_those_that_wait(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(max_batch_size=4, batch_timeout_micros=FOREVER_MICROS)
    with ThreadPoolExecutor(2) as threads:
        callers = [Caller(predictor, [value]) for value in (1, 2)]
        answers = list(threads.map(lambda value: predictor.run({"x": np.array([value], float)}, ["y"])[0].item(), (3, 4)))
    assert answers == [6, 8]
    assert [caller.outcome() for caller in callers] == [[2], [4]]
    assert doubler.sizes == [4]


def test_request_whose_time_is_over_in_the_queue_is_not_computed(opened: Callable, doubler: Doubler) -> None:
    predictor = opened()
    make_busy(predictor, doubler)
    late, in_time = Caller(predictor, [1], timeout_seconds=0.01), Caller(predictor, [2, 2], timeout_seconds=600)
    time.sleep(0.02)
    doubler.gate.set()
    assert late.outcome().code == Code.DEADLINE_EXCEEDED
    assert in_time.outcome() == [4, 4]
    assert doubler.sizes == [1, 2]


def test_close_answers_those_who_wait_and_ends_the_threads(opened: Callable, doubler: Doubler) -> None:
    predictor = opened(batch_timeout_micros=FOREVER_MICROS, num_batch_threads=3)
    callers = [Caller(predictor, np.full((1, width), 2)) for width in (1, 2, 3, 4)]
    predictor.close()
    assert [caller.outcomes[0][0].tolist() for caller in callers] == [[[4] * width] for width in (1, 2, 3, 4)]
    assert not any(thread.is_alive() for thread in predictor._queue._threads)
    with pytest.raises(StatusError, match="The model is being unloaded.") as caught:
        Caller(predictor, [1])
    assert caught.value.code == Code.UNAVAILABLE
