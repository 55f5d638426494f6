"""Requests are counted and timed in Prometheus' text format."""

from __future__ import annotations

import threading

from expman.serving.metrics import RequestMetrics
from expman.wire.status import Code


def _observe(metrics: RequestMetrics, model: str = "m", *, code: Code = Code.OK, seconds: float = 0.001) -> None:
    metrics.observe("Predict", model=model, entrypoint="GRPC", code=code, seconds=seconds)


def test_page_of_nothing_has_the_types_only() -> None:
    assert RequestMetrics().page() == ("# TYPE :tensorflow:serving:request_count counter\n"
                                       "# TYPE :tensorflow:serving:request_latency histogram\n")


def test_requests_are_counted_by_model_and_code() -> None:
    metrics = RequestMetrics()
    for code in (Code.OK, Code.OK, Code.NOT_FOUND):
        _observe(metrics, code=code)
    _observe(metrics, "other")
    assert metrics.page().splitlines()[1:4] == [
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="other",status="OK"} 1']


def test_times_of_good_answers_are_in_cumulative_buckets_of_microseconds() -> None:
    metrics = RequestMetrics()
    for microseconds in (5, 10, 11, 30, 1e10):
        _observe(metrics, seconds=microseconds / 1e6)
    _observe(metrics, code=Code.INTERNAL, seconds=1)
    labels = 'model_name="m",API="Predict",entrypoint="GRPC"'
    lines = [line for line in metrics.page().splitlines() if "latency" in line][1:]
    assert lines[:4] == [f':tensorflow:serving:request_latency_bucket{{{labels},le="{bound}"}} {count}'
                         for bound, count in (("10", 2), ("18", 3), ("32.4", 4), ("58.32", 4))]
    assert lines[-3:] == [f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 5',
                          f":tensorflow:serving:request_latency_sum{{{labels}}} 1.000000006e+10",
                          f":tensorflow:serving:request_latency_count{{{labels}}} 5"]
    assert len(lines) == 33 + 3


def test_names_are_escaped() -> None:
    metrics = RequestMetrics()
    _observe(metrics, 'a"b\\c\n')
    assert 'request_count{model_name="a\\"b\\\\c\\n",status="OK"} 1' in metrics.page()


def test_names_that_clients_invent_do_not_fill_the_memory() -> None:
    metrics = RequestMetrics()
    _observe(metrics)
    for index in range(5000):
        _observe(metrics, f"m{index}", code=Code.NOT_FOUND)
        _observe(metrics, f"m{index}")
    _observe(metrics)
    lines = metrics.page().splitlines()
    assert len(lines) < 40_000
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2' in lines
    counts = [int(line.rpartition(" ")[2]) for line in lines if line.startswith(":tensorflow:serving:request_count")]
    assert sum(counts) == 10_002


def test_threads_lose_no_count() -> None:
    metrics = RequestMetrics()
    threads = [threading.Thread(target=lambda: [_observe(metrics) for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 'request_count{model_name="m",status="OK"} 20000' in metrics.page()
