"""Several server processes on one port: all answer, a killed one is replaced, all end together."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from expman.serving.__main__ import main
from expman.serving.workers import core_slot_flags
from tests.support.serving_models import OfficialClient, free_port, save_affine_model
from tests.support.serving_process import server_process

_X = np.array([[1, 2]], np.float32)


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    return folder


def worker_ids(supervisor: int) -> set[int]:
    return {int(number) for task in Path(f"/proc/{supervisor}/task").iterdir()
            for number in (task / "children").read_text().split()}


def answers(port: int) -> bool:
    """Asks on a connection of its own; False when that fell into a worker's death."""
    with OfficialClient(port) as client:
        try:
            return tf.make_ndarray(client.predict({"x": _X}).outputs["y"]).tolist() == [[2, 4]]
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return False


def test_killed_worker_is_replaced_while_the_others_serve(base_path: Path) -> None:
    with server_process(base_path, "--num_workers=2") as server:
        assert "2 workers" in server.ready_line
        first = worker_ids(server.process.pid)
        assert len(first) == 2
        assert all(answers(server.port) for _ in range(20))
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        while victim in worker_ids(server.process.pid):
            time.sleep(0.01)
        # The other one alone has the port now, or shares it with the new one: a new connection is always answered.
        assert all(answers(server.port) for _ in range(20))
        while len(worker_ids(server.process.pid)) < 2:
            time.sleep(0.01)
        assert len(worker_ids(server.process.pid) - first) == 1
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert f"worker {victim} ended (exit code -9) and is replaced" in server.process.stderr.read()


def test_workers_end_with_their_supervisor(base_path: Path) -> None:
    with server_process(base_path, "--num_workers=2") as server:
        workers = worker_ids(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        while any(Path(f"/proc/{worker}").exists() and "Z" not in _state(worker) for worker in workers):
            time.sleep(0.05)


def test_requests_under_way_are_answered_when_all_stop(base_path: Path) -> None:
    failures: list[str] = []
    with server_process(base_path, "--num_workers=2") as server:
        is_over = threading.Event()

        def ask() -> None:
            with OfficialClient(server.port) as client:
                while not is_over.is_set():
                    try:
                        client.predict({"x": _X})
                    except grpc.RpcError as error:
                        # Refused before it was accepted, or gone with the connection that it would have used.
                        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                            failures.append(f"{error.code()}: {error.details()}")
                        return

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_worker_that_cannot_start_ends_all_with_its_reason(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert main([f"--model_base_path={tmp_path}", "--address=127.0.0.1", f"--port={free_port()}", "--num_workers=2"]) == 255
    error = capfd.readouterr().err
    assert "holds no version of 'default'" in error and "ended (exit code 255) before it could answer" in error


def test_several_workers_and_a_unix_socket_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert main([f"--model_base_path={tmp_path}", "--grpc_socket_path=/tmp/s", "--num_workers=2"]) == 255
    assert "a Unix socket cannot be shared" in capfd.readouterr().err


def _state(process_id: int) -> str:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


@pytest.mark.parametrize("changes, expected", [
    ({}, ["--tensorflow_intra_op_parallelism=2"]),
    ({"num_workers": 4}, ["--tensorflow_intra_op_parallelism=1"]),
    ({"num_workers": 16}, ["--tensorflow_intra_op_parallelism=1"]),
    ({"tensorflow_intra_op_parallelism": 3}, []),
    ({"tensorflow_session_parallelism": 3}, []),
    ({"tensorflow_session_config_file": "config.pbtxt"}, []),
])
def test_workers_share_the_cores_unless_told_otherwise(
        monkeypatch: pytest.MonkeyPatch, changes: dict, expected: list[str]) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)))
    flags = {"num_workers": 2, "tensorflow_intra_op_parallelism": 0, "tensorflow_session_parallelism": 0,
             "tensorflow_session_config_file": "", **changes}
    assert core_slot_flags(flags) == expected
