"""Requests that arrive together share a run of the model, and each gets its own answer or its own error."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.wire.status import Code, StatusError
from tests.support.batching_models import FOREVER_MICROS, GUILTY, Doubler, wait_until


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


@pytest.fixture
def doubler(threads: ThreadPoolExecutor) -> Iterator[Doubler]:
    doubler = Doubler()
    yield doubler
    doubler.gate.set()  # Before the threads are waited for.


def _num_waiting(predictor: BatchedPredictor) -> int:
    return sum(len(batch.tasks) for batch in list(predictor._queue._enqueued))


def _start_behind_a_long_run(predictor: BatchedPredictor, doubler: Doubler, threads: ThreadPoolExecutor,
                             requests: Sequence[Mapping[str, np.ndarray]], fetches: Sequence[str] = ("y",)
                             ) -> list[Future]:
    """Lets requests gather, in their order, while the model is busy with another; then lets the model go on."""
    doubler.gate.clear()
    num_runs = len(doubler.runs)
    first = threads.submit(predictor.run, {"x": np.zeros((1, 1))}, ["y"])
    wait_until(lambda: len(doubler.runs) > num_runs)
    futures = []
    for request in requests:
        futures.append(threads.submit(predictor.run, request, fetches))
        wait_until(lambda: _num_waiting(predictor) == len(futures))
    doubler.gate.set()
    first.result()
    return futures


def _one_at_a_time(doubler: Doubler, **parameters: object) -> BatchedPredictor:
    return BatchedPredictor(doubler, BatchingParameters(num_batch_threads=1, **parameters))


def test_request_alone_is_answered_at_once_by_default(doubler: Doubler) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters())
    x = np.array([[1.0], [2.0]])
    np.testing.assert_array_equal(predictor.run({"x": x}, ["y"])[0], 2 * x)
    assert doubler.runs[0] is x


def test_request_alone_is_answered_when_its_time_to_wait_is_over(doubler: Doubler) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(batch_timeout_micros=20_000))
    np.testing.assert_array_equal(predictor.run({"x": np.array([3.0])}, ["y"])[0], [6])


def test_full_batch_goes_at_once(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(max_batch_size=4, batch_timeout_micros=FOREVER_MICROS))
    answers = threads.map(lambda value: predictor.run({"x": np.array([value])}, ["y"])[0].tolist(), range(4))
    assert list(answers) == [[0], [2], [4], [6]]
    assert [len(x) for x in doubler.runs] == [4]


def test_request_that_comes_alone_time_after_time_waits_no_more(doubler: Doubler) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(batch_timeout_micros=1000))
    for _ in range(16):
        predictor.run({"x": np.zeros(1)}, ["y"])
    predictor._queue._timeout_seconds = FOREVER_MICROS / 1e6
    assert predictor.run({"x": np.ones(1)}, ["y"])[0].tolist() == [2]


def test_requests_wait_for_half_as_many_as_came_together_lately(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(max_batch_size=4, batch_timeout_micros=FOREVER_MICROS))

    def ask_four_times() -> None:
        answers = threads.map(lambda value: predictor.run({"x": np.array([value])}, ["y"])[0].tolist(), range(4))
        assert list(answers) == [[0], [2], [4], [6]]

    for _ in range(16):
        ask_four_times()
    assert [len(x) for x in doubler.runs] == [4] * 16
    predictor._queue._max_batch_size = 100
    doubler.gate.clear()
    futures = [threads.submit(predictor.run, {"x": np.array([value])}, ["y"]) for value in range(2)]
    wait_until(lambda: len(doubler.runs) == 17)  # The first half runs; the third request waits for a fourth.
    futures.append(threads.submit(predictor.run, {"x": np.array([2])}, ["y"]))
    wait_until(lambda: _num_waiting(predictor) == 1)
    futures.append(threads.submit(predictor.run, {"x": np.array([3])}, ["y"]))
    doubler.gate.set()
    assert [future.result()[0].tolist() for future in futures] == [[0], [2], [4], [6]]
    assert [len(x) for x in doubler.runs[16:]] == [2, 2]


def test_request_that_does_not_fit_closes_the_batch(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(max_batch_size=4, batch_timeout_micros=FOREVER_MICROS))
    first = threads.submit(predictor.run, {"x": np.arange(3)}, ["y"])
    wait_until(lambda: _num_waiting(predictor) == 1)
    second = threads.submit(predictor.run, {"x": np.arange(2)}, ["y"])
    np.testing.assert_array_equal(first.result()[0], [0, 2, 4])
    threads.submit(predictor.run, {"x": np.arange(2)}, ["y"])
    np.testing.assert_array_equal(second.result()[0], [0, 2])
    assert [len(x) for x in doubler.runs] == [3, 4]


def test_requests_gather_while_the_model_is_busy(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler)
    requests = [{"x": np.full((size, 1), size)} for size in (1, 3, 2)]
    futures = _start_behind_a_long_run(predictor, doubler, threads, requests)
    assert [future.result()[0].tolist() for future in futures] == [[[2]], [[6]] * 3, [[4]] * 2]
    assert [len(x) for x in doubler.runs] == [1, 6]


def test_so_many_batches_run_at_once_as_there_are_threads_for(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    doubler.gate.clear()
    predictor = BatchedPredictor(doubler, BatchingParameters(num_batch_threads=3))
    for number in range(3):
        threads.submit(predictor.run, {"x": np.zeros(1)}, ["y"])
        wait_until(lambda: len(doubler.runs) == number + 1)
    threads.submit(predictor.run, {"x": np.zeros(1)}, ["y"])
    wait_until(lambda: _num_waiting(predictor) == 1)
    assert len(doubler.runs) == 3


@pytest.mark.parametrize("requests", [
    [{"x": np.zeros((1, 2))}, {"x": np.zeros((1, 3))}],
    [{"x": np.zeros(2, np.float32)}, {"x": np.zeros(2, np.float64)}],
    [{"x": np.zeros(2)}, {"x": np.zeros(2), "w": np.zeros(2)}],
], ids=["shape", "type", "names"])
def test_requests_that_do_not_fit_together_run_apart(
        doubler: Doubler, threads: ThreadPoolExecutor, requests: list[dict]) -> None:
    futures = _start_behind_a_long_run(_one_at_a_time(doubler), doubler, threads, requests)
    for request, future in zip(requests, futures):
        answer = future.result()[0]
        assert (answer.shape, answer.dtype) == (request["x"].shape, request["x"].dtype)
    assert len(doubler.runs) == 3


def test_batch_is_filled_up_to_an_allowed_size_with_a_valid_sample(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    requests = [{"x": np.array([[1, 2]])}, {"x": np.array([[3, 4], [5, 6]])}]
    futures = _start_behind_a_long_run(predictor, doubler, threads, requests)
    assert [future.result()[0].tolist() for future in futures] == [[[2, 4]], [[6, 8], [10, 12]]]
    assert doubler.runs[1].tolist() == [[1, 2], [3, 4], [5, 6], [3, 4]]


def test_inputs_of_variable_length_are_filled_up_with_their_first_value(
        doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler, pad_variable_length_inputs=True)
    requests = [{"x": np.array([[1, 2, 3]])}, {"x": np.array([[4], [5]])}]
    futures = _start_behind_a_long_run(predictor, doubler, threads, requests)
    assert [future.result()[0].tolist() for future in futures] == [[[2, 4, 6]], [[8, 8, 8], [10, 8, 8]]]


@pytest.mark.parametrize("requests", [
    [{"x": np.zeros((1, 0))}, {"x": np.zeros((1, 3))}],
    [{"x": np.zeros((1,) * 6 + (size,))} for size in (1, 2)],
], ids=["empty", "rank"])
def test_inputs_that_cannot_be_filled_up_run_apart(
        doubler: Doubler, threads: ThreadPoolExecutor, requests: list[dict]) -> None:
    predictor = _one_at_a_time(doubler, pad_variable_length_inputs=True)
    futures = _start_behind_a_long_run(predictor, doubler, threads, requests)
    assert [future.result()[0].shape for future in futures] == [request["x"].shape for request in requests]
    assert len(doubler.runs) == 3


def test_large_request_is_spread_over_batches(doubler: Doubler) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(
        max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4, num_batch_threads=1))
    x = np.arange(20).reshape(10, 2)
    np.testing.assert_array_equal(predictor.run({"x": x}, ["y"])[0], 2 * x)
    assert sorted(len(x) for x in doubler.runs) == [2, 4, 4]


def test_request_without_samples_is_answered(doubler: Doubler) -> None:
    assert BatchedPredictor(doubler, BatchingParameters()).run({"x": np.zeros((0, 3))}, ["y"])[0].shape == (0, 3)


@pytest.mark.parametrize(("feeds", "words"), [
    ({}, "Batching Run() must have at least one input tensor"),
    ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
    ({"x": np.zeros(2), "w": np.zeros(3)}, "Batching Run() input tensors must have equal 0th-dimension size"),
    ({"x": np.zeros((9, 1))}, "Task size 9 is larger than maximum input batch size 8"),
], ids=["none", "scalar", "different sizes", "too large"])
def test_inputs_without_a_common_batch_are_invalid(doubler: Doubler, feeds: dict, words: str) -> None:
    with pytest.raises(StatusError) as caught:
        BatchedPredictor(doubler, BatchingParameters(max_batch_size=8)).run(feeds, ["y"])
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(("output", "words"), [
    ("one number", "Batched output tensor has 0 dimensions"),
    ("too few", "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors"),
])
def test_output_without_a_row_for_each_sample_cannot_be_cut_apart(doubler: Doubler, output: str, words: str) -> None:
    with pytest.raises(StatusError) as caught:
        BatchedPredictor(doubler, BatchingParameters()).run({"x": np.zeros(3)}, [output])
    assert (caught.value.code, caught.value.message) == (Code.FAILED_PRECONDITION, words)


def test_full_queue_refuses_requests(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler, max_batch_size=2, max_enqueued_batches=2)
    requests = [{"x": np.zeros((2, 1))}, {"x": np.zeros((1, 1))}]
    doubler.gate.clear()
    threads.submit(predictor.run, requests[0], ["y"])
    wait_until(lambda: doubler.runs)
    futures = [threads.submit(predictor.run, request, ["y"]) for request in requests]
    wait_until(lambda: _num_waiting(predictor) == 2)
    with pytest.raises(StatusError) as caught:
        predictor.run(requests[0], ["y"])
    assert (caught.value.code, caught.value.message) == (
        Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued "
                          "and max_enqueued_batches is 2")
    fits = threads.submit(predictor.run, {"x": np.ones((1, 1))}, ["y"])  # Into the last batch.
    wait_until(lambda: _num_waiting(predictor) == 3)
    doubler.gate.set()
    assert fits.result()[0].tolist() == [[2]]
    assert all(future.result() for future in futures)


def test_only_the_request_that_is_to_blame_fails(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler)
    values = [1.0, GUILTY, 3.0]
    futures = _start_behind_a_long_run(predictor, doubler, threads, [{"x": np.array([[value]])} for value in values])
    assert futures[0].result()[0].tolist() == [[2]]
    with pytest.raises(StatusError, match="666 is refused"):
        futures[1].result()
    assert futures[2].result()[0].tolist() == [[6]]
    assert [len(x) for x in doubler.runs] == [1, 3, 1, 1, 1]


def test_error_that_is_no_status_reaches_its_request(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler)
    futures = _start_behind_a_long_run(predictor, doubler, threads, [{"x": np.zeros((1, 1))}] * 2, ["no such output"])
    for future in futures:
        with pytest.raises(KeyError, match="no such output"):
            future.result()
    assert predictor.run({"x": np.array([1])}, ["y"])[0].tolist() == [2]


def test_request_gives_up_when_its_time_is_over_in_the_queue(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = _one_at_a_time(doubler)
    doubler.gate.clear()
    first = threads.submit(predictor.run, {"x": np.ones(1)}, ["y"])
    wait_until(lambda: doubler.runs)
    with pytest.raises(StatusError) as caught:
        predictor.run({"x": np.zeros(1)}, ["y"], timeout_seconds=0.05)
    assert (caught.value.code, caught.value.message) == (
        Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")
    assert _num_waiting(predictor) == 0
    doubler.gate.set()
    assert first.result()[0].tolist() == [2]
    assert len(doubler.runs) == 1


def test_request_gives_up_when_its_time_is_over_in_the_run_of_another(
        doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    doubler.gate.clear()
    predictor = BatchedPredictor(doubler, BatchingParameters(max_batch_size=2, batch_timeout_micros=2_000_000))
    hasty = threads.submit(predictor.run, {"x": np.zeros(1)}, ["y"], timeout_seconds=0.5)
    wait_until(lambda: _num_waiting(predictor) == 1)
    patient = threads.submit(predictor.run, {"x": np.ones(1)}, ["y"])
    with pytest.raises(StatusError) as caught:
        hasty.result()
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    doubler.gate.set()
    assert patient.result()[0].tolist() == [2]


def test_others_are_answered_when_the_first_of_a_batch_gives_up(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(batch_timeout_micros=300_000))
    hasty = threads.submit(predictor.run, {"x": np.zeros(1)}, ["y"], timeout_seconds=0.05)
    wait_until(lambda: _num_waiting(predictor) == 1)
    patient = threads.submit(predictor.run, {"x": np.ones(1)}, ["y"])
    with pytest.raises(StatusError):
        hasty.result()
    assert patient.result()[0].tolist() == [2]
    assert [x.tolist() for x in doubler.runs] == [[1]]


def test_time_that_was_over_before_is_told(doubler: Doubler) -> None:
    with pytest.raises(StatusError) as caught:
        BatchedPredictor(doubler, BatchingParameters()).run({"x": np.zeros(1)}, ["y"], timeout_seconds=0)
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    assert not doubler.runs


@pytest.mark.parametrize(("timeouts", "expected"), [((50.0, 100.0), 100.0), ((50.0, None), None)], ids=str)
def test_model_may_take_as_long_as_the_most_patient_request(
        doubler: Doubler, threads: ThreadPoolExecutor, timeouts: tuple, expected: float | None) -> None:
    predictor = BatchedPredictor(doubler, BatchingParameters(max_batch_size=2, batch_timeout_micros=FOREVER_MICROS))
    futures = [threads.submit(predictor.run, {"x": np.zeros(1)}, ["y"], timeout_seconds=timeout) for timeout in timeouts]
    assert all(future.result() for future in futures)
    assert doubler.timeouts == [expected if expected is None else pytest.approx(expected, abs=20)]


def test_close_answers_those_who_wait_and_refuses_others(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    doubler.gate.clear()
    predictor = _one_at_a_time(doubler, batch_timeout_micros=FOREVER_MICROS, max_batch_size=2)
    running = threads.submit(predictor.run, {"x": np.arange(2)}, ["y"])
    wait_until(lambda: doubler.runs)
    waiting = threads.submit(predictor.run, {"x": np.ones(1)}, ["y"])
    wait_until(lambda: _num_waiting(predictor) == 1)
    closing = threads.submit(predictor.close)
    wait_until(lambda: predictor._queue._is_closed)
    with pytest.raises(StatusError) as caught:
        predictor.run({"x": np.zeros(1)}, ["y"])
    assert caught.value.code == Code.UNAVAILABLE
    assert not doubler.is_closed
    doubler.gate.set()
    closing.result()
    assert doubler.is_closed
    assert running.result()[0].tolist() == [0, 2]
    assert waiting.result()[0].tolist() == [2]


def test_waiting_takes_no_processor_time(doubler: Doubler, threads: ThreadPoolExecutor) -> None:
    doubler.gate.clear()
    predictor = _one_at_a_time(doubler, batch_timeout_micros=1000)
    futures = [threads.submit(predictor.run, {"x": np.ones(1)}, ["y"], timeout_seconds=60) for _ in range(8)]
    wait_until(lambda: doubler.runs and _num_waiting(predictor) + len(doubler.runs[0]) == 8)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.4)
    assert time.process_time() - before < 0.2
    doubler.gate.set()
    assert all(future.result()[0].tolist() == [2] for future in futures)


def test_signatures_are_those_of_the_model(doubler: Doubler) -> None:
    assert BatchedPredictor(doubler, BatchingParameters()).signatures is doubler.signatures
