"""Requests are counted and timed for Prometheus, under the names of TensorFlow Serving, whichever worker is asked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from expman.errors import ServingError
from expman.serving.observers.observed_request import ObservedRequest
from expman.serving.observers.request_metrics import RequestMetrics
from expman.wire.status import Code
from tests.support.prometheus_pages import scraped

_COUNT, _LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
_OF_M = ("Predict", "GRPC", "m")


@pytest.fixture
def metrics(tmp_path: Path) -> RequestMetrics:
    return RequestMetrics(path="/metrics", folder=tmp_path)


def _observe(metrics: RequestMetrics, model: str = "m", *, code: Code = Code.OK, seconds: float = 0.001,
             version: int | None = 1, entrypoint: str = "GRPC") -> None:
    request = ObservedRequest(lambda _: None, method="Predict", entrypoint=entrypoint, model=model)
    request.version, request.code, request.seconds = version, code, seconds
    metrics.observe(request)


def _lines(metrics: RequestMetrics) -> list[str]:
    return metrics.page()[1].decode().splitlines()


def test_page_of_nothing_has_the_types_only(metrics: RequestMetrics) -> None:
    lines = _lines(metrics)
    assert [line for line in lines if not line.startswith("# HELP")] == [
        f"# TYPE {_COUNT} counter", f"# TYPE {_LATENCY} histogram"]
    assert len(lines) == 4


def test_requests_are_counted_by_model_and_code(metrics: RequestMetrics) -> None:
    for code in (Code.OK, Code.OK, Code.NOT_FOUND):
        _observe(metrics, code=code)
    _observe(metrics, "other", entrypoint="REST")
    assert {key: value for key, value in scraped(metrics.page()[1]).items() if key[0] == _COUNT} == {
        (_COUNT, "m", "NOT_FOUND"): 1, (_COUNT, "m", "OK"): 2, (_COUNT, "other", "OK"): 1}
    assert f'{_COUNT}{{model_name="m",status="OK"}} 2.0' in _lines(metrics)


def test_times_of_good_answers_are_in_cumulative_buckets_of_microseconds(metrics: RequestMetrics) -> None:
    for microseconds in (5, 10, 11, 30, 1e10):
        _observe(metrics, seconds=microseconds / 1e6)
    _observe(metrics, code=Code.INTERNAL, seconds=1)
    page = scraped(metrics.page()[1])
    buckets = {key[3]: value for key, value in page.items() if key[0] == f"{_LATENCY}_bucket"}
    assert [(bound, buckets[bound]) for bound in ("10", "18", "32.4", "58.32", "+Inf")] == [
        ("10", 2), ("18", 3), ("32.4", 4), ("58.32", 4), ("+Inf", 5)]
    assert len(buckets) == 33 + 1
    bounds = [float(bound) for bound in buckets if bound != "+Inf"]
    assert bounds == pytest.approx([10 * 1.8**step for step in range(33)], rel=1e-5)
    assert page[(f"{_LATENCY}_sum", *_OF_M)] == pytest.approx(10000000056)
    assert page[(f"{_LATENCY}_count", *_OF_M)] == 5


def test_methods_of_rest_are_written_small(metrics: RequestMetrics) -> None:
    _observe(metrics, entrypoint="REST")
    assert scraped(metrics.page()[1])[f"{_LATENCY}_count", "predict", "REST", "m"] == 1


def test_names_are_escaped(metrics: RequestMetrics) -> None:
    name = f'a"b\\c\n# TYPE {_COUNT}_total d'
    _observe(metrics, name)
    assert scraped(metrics.page()[1])[_COUNT, name, "OK"] == 1


def test_names_that_clients_invent_fill_neither_memory_nor_disk(metrics: RequestMetrics, tmp_path: Path) -> None:
    _observe(metrics)
    for index in range(5000):
        _observe(metrics, f"m{index}", code=Code.NOT_FOUND, version=None)
    for _ in range(10):
        _observe(metrics, "m" * 100_000, code=Code.NOT_FOUND, version=None)
    _observe(metrics)
    _observe(metrics, "served later")
    counts = {key[1:]: value for key, value in scraped(metrics.page()[1]).items() if key[0] == _COUNT}
    assert counts["m", "OK"] == 2 and counts["served later", "OK"] == 1
    assert len(counts) <= 1003 and sum(counts.values()) == 5013
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2**20


def test_threads_lose_no_count(metrics: RequestMetrics) -> None:
    threads = [threading.Thread(target=lambda: [_observe(metrics) for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scraped(metrics.page()[1])[_COUNT, "m", "OK"] == 20000


def test_each_worker_tells_the_counts_of_all(tmp_path: Path) -> None:
    workers = [RequestMetrics(path="/metrics", folder=tmp_path, worker_number=number) for number in range(3)]
    for number, worker in enumerate(workers):
        for _ in range(number + 1):
            _observe(worker, seconds=11e-6)
    for worker in workers:
        page = scraped(worker.page()[1])
        assert page[_COUNT, "m", "OK"] == 6
        assert page[f"{_LATENCY}_bucket", "Predict", "GRPC", "18", "m"] == 6
        assert page[(f"{_LATENCY}_sum", *_OF_M)] == pytest.approx(66)


def test_worker_in_the_place_of_a_dead_one_counts_on(tmp_path: Path) -> None:
    for num_requests in (1, 2, 3):
        worker = RequestMetrics(path="/metrics", folder=tmp_path, worker_number=1)  # The one before is never closed.
        for _ in range(num_requests):
            _observe(worker)
    page = scraped(worker.page()[1])
    assert page[_COUNT, "m", "OK"] == page[(f"{_LATENCY}_count", *_OF_M)] == 6
    assert len(list(tmp_path.iterdir())) == 2


def test_folder_that_cannot_be_made_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(ServingError, match="cannot make a temporary folder .* Let TMPDIR name a folder"):
        RequestMetrics(path="/metrics")


def test_server_alone_removes_its_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    metrics = RequestMetrics(path="/metrics")
    _observe(metrics)
    assert scraped(metrics.page()[1])[_COUNT, "m", "OK"] == 1
    metrics.close()
    assert list(tmp_path.iterdir()) == []
