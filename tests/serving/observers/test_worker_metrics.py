"""A scrape tells the counts of all workers of a server, whichever it meets, those that have died among them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.serving.test_workers import worker_ids
from tests.support.prometheus_pages import scraped
from tests.support.rest_client import predict, rest
from tests.support.serving_models import OfficialClient, free_port, save_affine_model
from tests.support.serving_process import ServerProcess, server_process

_X = np.array([[1, 2]], np.float32)
_JSON = {"instances": _X.tolist(), "signature_name": "serving_default"}
_COUNT, _LATENCY_COUNT = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency_count"


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    return folder


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server makes its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextmanager
def _server(base_path: Path, tmp_path: Path, *flags: str) -> Iterator[tuple[ServerProcess, int]]:
    monitoring = tmp_path / "monitoring.pbtxt"
    monitoring.write_text('prometheus_config { enable: true, path: "/metrics" }')
    rest_port = free_port()
    with server_process(base_path, f"--rest_api_port={rest_port}", f"--monitoring_config_file={monitoring}", *flags) as server:
        yield server, rest_port


def _ask(port: int, *, times: int) -> int:
    """Asks on a connection of its own each time, so that each worker gets its share; returns how often it was answered."""
    num_answers = 0
    for _ in range(times):
        with OfficialClient(port) as client:
            try:
                client.predict({"x": _X})
                num_answers += 1
            except grpc.RpcError as error:  # The connection fell into a worker's death.
                assert error.code() is grpc.StatusCode.UNAVAILABLE
    return num_answers


def _scrape(rest_port: int) -> dict[tuple[str, ...], float]:
    reply = rest(rest_port, "GET", "/metrics")
    assert reply.status == 200
    return scraped(reply.body)


def test_every_scrape_meets_the_counts_of_all_workers(base_path: Path, tmp_path: Path) -> None:
    with _server(base_path, tmp_path, "--num_workers=2") as (server, rest_port):
        assert _ask(server.port, times=40) == 40
        for _ in range(30):
            assert predict(rest_port, _JSON).status == 200
        for _ in range(5):
            assert predict(rest_port, {}).status == 400
        for _ in range(20):
            page = _scrape(rest_port)
            assert page[_COUNT, "m", "OK"] == 70
            assert page[_COUNT, "m", "INVALID_ARGUMENT"] == 5
            assert page[_LATENCY_COUNT, "Predict", "GRPC", "m"] == 40
            assert page[_LATENCY_COUNT, "predict", "REST", "m"] == 30


def test_killed_worker_leaves_its_counts_and_the_next_one_adds_to_them(
        base_path: Path, tmp_path: Path, temporary_folder: Path) -> None:
    observer = "--observers=tests.support.counting_observer:CountingObserver"
    with _server(base_path, tmp_path, "--num_workers=2", observer) as (server, rest_port):
        num_answers = _ask(server.port, times=40)
        victim = min(worker_ids(server.process.pid))
        os.kill(victim, signal.SIGKILL)
        while victim in worker_ids(server.process.pid):
            time.sleep(0.01)
        while len(worker_ids(server.process.pid)) < 2:
            assert _scrape(rest_port)[_COUNT, "m", "OK"] == num_answers
        while (num_processes := _scrape(rest_port)[("expman_test_processes",)]) < 2:  # The dead one is no longer told of.
            assert num_processes == 1
        for _ in range(10):
            num_answers += _ask(server.port, times=10)
            page = _scrape(rest_port)
            assert page[_COUNT, "m", "OK"] == num_answers
            assert page[("expman_test_rows",)] == num_answers  # Counted by prometheus_client itself.
            assert page[("expman_test_processes",)] == 2
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_folder_of_counters_is_the_servers_own_and_removed(
        base_path: Path, tmp_path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int) -> None:
    others = tmp_path / "of another program"
    others.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(others))
    with _server(base_path, tmp_path, f"--num_workers={num_workers}") as (server, rest_port):
        _ask(server.port, times=3)
        assert _scrape(rest_port)[_COUNT, "m", "OK"] == 3
        folder, = temporary_folder.iterdir()
        assert len(list(folder.iterdir())) == 2 * num_workers
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert list(temporary_folder.iterdir()) == list(others.iterdir()) == []


def test_folder_of_counters_is_removed_by_the_workers_of_a_killed_server(
        base_path: Path, tmp_path: Path, temporary_folder: Path) -> None:
    with _server(base_path, tmp_path, "--num_workers=2") as (server, _):
        assert len(list(temporary_folder.iterdir())) == 1
        os.kill(server.process.pid, signal.SIGKILL)
        while list(temporary_folder.iterdir()):
            time.sleep(0.05)


def test_server_without_monitoring_makes_no_folder(base_path: Path, temporary_folder: Path) -> None:
    with server_process(base_path, "--num_workers=2") as server:
        _ask(server.port, times=3)
        assert list(temporary_folder.iterdir()) == []


def test_wrong_observer_ends_the_server_with_its_name(base_path: Path, capfd: pytest.CaptureFixture) -> None:
    from expman.serving.__main__ import main

    assert main([f"--model_base_path={base_path}", "--address=127.0.0.1", f"--port={free_port()}",
                 "--observers=no_such_module:f"]) == 255
    assert "cannot import 'no_such_module'" in capfd.readouterr().err
