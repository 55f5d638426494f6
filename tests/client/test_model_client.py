"""The client drives a user's Client_IO against a real server, and says in a line what went wrong."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from expman.client.model_client import LatencySummary, run_client, to_numpy
from expman.errors import ClientError, UserCodeError
from expman.records.running_servers import start_command
from tests.support.project import ROOT
from tests.support.serving_models import (
    MAX_MESSAGE_BYTES,
    free_port,
    running_server,
    save_affine_model,
    save_slow_model,
)

_X = np.array([[1, 2], [3, 4]], np.float32)


class RecordingClientIO:
    """Sends the same array each time and notes all that happens in the list that its specs hold."""

    def __init__(self, clientInitSpecs: dict, debugMode: bool) -> None:
        self.events: list = clientInitSpecs["events"]
        self.events.append(("init", debugMode))

    def getInputData(self, idx: int) -> np.ndarray | dict[str, np.ndarray]:
        self.events.append(("input", idx))
        return _X

    def decodeResponse(self, result: Any) -> None:
        self.events.append(("response", sorted(result.outputs)))

    def finalize(self) -> None:
        self.events.append(("finalize",))


@pytest.fixture(scope="module")
def affine_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    base_path = tmp_path_factory.mktemp("affine")
    save_affine_model(base_path / "1")
    with running_server(base_path) as port:
        yield port


def drive(client_io_class: type, port: int, **changes: Any) -> tuple[LatencySummary, list]:
    """Runs the client; returns its summary and the events noted by a `RecordingClientIO`."""
    events: list = changes.pop("events", [])
    summary = run_client(**{
        "client_io_class": client_io_class, "client_init_specs": {"events": events}, "model_name": "m",
        "signature_name": "serving_default", "input_name": "x", "address": "127.0.0.1", "port": port,
        "wait_seconds": 30, "timeout_seconds": 30, "max_message_bytes": MAX_MESSAGE_BYTES, "num_requests": 1,
        "debug": False, "start_command": start_command("experiments/m"), **changes})
    return summary, events


def test_one_request_goes_from_input_to_response_to_finalize(affine_port: int) -> None:
    summary, events = drive(RecordingClientIO, affine_port)
    assert events == [("init", False), ("input", 1), ("response", ["y", "z"]), ("finalize",)]
    assert summary.num_requests == 1


def test_array_is_sent_under_the_settings_input_name_and_a_dict_under_its_own(affine_port: int) -> None:
    answers = []

    class BothKinds(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray | dict[str, np.ndarray]:
            return _X if idx == 1 else {"x": 10 * _X}

        def decodeResponse(self, result: Any) -> None:
            answers.append(to_numpy(result.outputs["y"]))
            np.testing.assert_array_equal(answers[-1], tf.make_ndarray(result.outputs["y"]))

    drive(BothKinds, affine_port, num_requests=2)
    np.testing.assert_allclose(answers, [2 * _X, 20 * _X])


def test_named_signature_is_asked_for(affine_port: int) -> None:
    class Shifted(RecordingClientIO):
        def getInputData(self, idx: int) -> dict[str, np.ndarray]:
            return {"x": _X, "shift": np.array(5, np.float32)}

    _, events = drive(Shifted, affine_port, signature_name="with_shift")
    assert ("response", ["y"]) in events


def test_as_many_requests_as_asked_for_are_counted_from_1(affine_port: int) -> None:
    _, events = drive(RecordingClientIO, affine_port, num_requests=3)
    assert [event[1] for event in events if event[0] == "input"] == [1, 2, 3]


def test_index_counts_from_0_and_outputs_are_arrays_by_name(affine_port: int) -> None:
    seen = []

    class Named(RecordingClientIO):
        def getInputData(self, index: int) -> np.ndarray:
            return super().getInputData(index)

        def decodeResponse(self, outputs: dict[str, np.ndarray]) -> None:
            seen.append(outputs)

    class Beside(RecordingClientIO):
        def decodeResponse(self, result: Any, outputs: dict[str, np.ndarray]) -> None:
            np.testing.assert_array_equal(outputs["y"], tf.make_ndarray(result.outputs["y"]))
            seen.append(outputs)

    _, events = drive(Named, affine_port, num_requests=2)
    assert [event[1] for event in events if event[0] == "input"] == [0, 1]
    drive(Beside, affine_port)
    assert len(seen) == 3
    for outputs in seen:
        assert sorted(outputs) == ["y", "z"]
        np.testing.assert_allclose(outputs["y"], 2 * _X)


@pytest.mark.parametrize(("signature", "heads", "expected"), [
    ("serving_default", ["z"], {"z": -2 * _X}), ("serving_default", ["z", "y"], {"y": 2 * _X, "z": -2 * _X}),
    ("with_shift", "serving_default", {"y": 2 * _X, "z": -2 * _X}), ("with_shift", ("y",), {"y": 2 * _X})])
@pytest.mark.parametrize("is_of_the_object", [False, True])
def test_one_request_brings_the_outputs_that_client_io_names(
        affine_port: int, signature: str, heads: Any, expected: dict, is_of_the_object: bool) -> None:
    seen = []

    class Several(RecordingClientIO):
        def __init__(self, clientInitSpecs: dict, debugMode: bool) -> None:
            super().__init__(clientInitSpecs, debugMode)
            if is_of_the_object:
                self.served_heads = heads

        def decodeResponse(self, outputs: dict[str, np.ndarray]) -> None:
            seen.append(outputs)

    if not is_of_the_object:
        Several.served_heads = heads
    summary, _ = drive(Several, affine_port, signature_name=signature)
    assert summary.num_requests == len(seen) == 1 and seen[0].keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(seen[0][name], values, rtol=1e-6)


def test_an_output_that_the_model_has_not_is_named_with_those_that_it_has(affine_port: int) -> None:
    class Wrong(RecordingClientIO):
        served_heads = ["nowhere"]

    with pytest.raises(ClientError, match="request 1: INVALID_ARGUMENT: .*nowhere.*y.*z"):
        drive(Wrong, affine_port)


@pytest.mark.parametrize("num_requests", [-1, 100])
@pytest.mark.parametrize("method", ["getInputData", "decodeResponse"])
def test_stop_iteration_ends_the_requests(affine_port: int, num_requests: int, method: str) -> None:
    class Ending(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray:
            if method == "getInputData" and idx == 4:
                raise StopIteration
            return super().getInputData(idx)

        def decodeResponse(self, result: Any) -> None:
            super().decodeResponse(result)
            if method == "decodeResponse" and self.events[-2] == ("input", 3):
                raise StopIteration

    summary, events = drive(Ending, affine_port, num_requests=num_requests)
    assert summary.num_requests == 3
    assert events[-1] == ("finalize",)


def test_latency_is_printed_in_one_line(affine_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    drive(RecordingClientIO, affine_port, num_requests=5)
    assert re.fullmatch(r"5 requests, latency p50 \d+\.\d ms, p99 \d+\.\d ms\n", capsys.readouterr().out)


def test_latency_quantiles_are_those_of_the_durations() -> None:
    summary = LatencySummary.of([milliseconds / 1000 for milliseconds in range(101)])
    assert str(summary) == "101 requests, latency p50 50.0 ms, p99 99.0 ms"
    assert str(LatencySummary.of([])) == "0 requests"


def test_missing_methods_are_all_listed_before_anything_is_contacted() -> None:
    class Lacking:
        decodeResponse = None

        def getInputData(self, idx: int) -> np.ndarray:
            return _X

    with pytest.raises(UserCodeError, match=r"method decodeResponse\(self, result\) is missing.\n.*method finalize\(self\) is missing."):
        drive(Lacking, free_port())


@pytest.mark.parametrize("method", ["getInputData", "decodeResponse"])
def test_method_that_raises_shows_the_users_lines_and_finalize_runs_once(affine_port: int, method: str) -> None:
    class Raising(RecordingClientIO):
        pass

    def raise_error(self: Any, argument: Any) -> None:
        raise KeyError("the user's own mistake")

    setattr(Raising, method, raise_error)
    events: list = []
    with pytest.raises(UserCodeError) as caught:
        drive(Raising, affine_port, events=events)
    message = str(caught.value)
    assert f"Client_IO.{method} raised an exception.\n" in message
    assert "the user's own mistake" in message and Path(__file__).name in message
    assert "client_io.py" not in message
    assert events.count(("finalize",)) == 1


def test_init_that_raises_is_reported_and_nothing_is_finalized(affine_port: int) -> None:
    class Raising(RecordingClientIO):
        def __init__(self, clientInitSpecs: dict) -> None:
            self.events = clientInitSpecs["events"]
            raise OSError("no camera")

    events: list = []
    with pytest.raises(UserCodeError, match=r"Client_IO.__init__ raised an exception.\n(.*\n)+OSError: no camera"):
        drive(Raising, affine_port, events=events)
    assert events == []


def test_finalize_that_raises_is_reported(affine_port: int) -> None:
    class Raising(RecordingClientIO):
        def finalize(self) -> None:
            super().finalize()
            raise OSError("disk full")

    events: list = []
    with pytest.raises(UserCodeError, match=r"Client_IO.finalize raised an exception.\n(.*\n)+OSError: disk full"):
        drive(Raising, affine_port, events=events)
    assert events.count(("finalize",)) == 1


def test_finalize_that_raises_after_an_error_does_not_hide_it(
        affine_port: int, caplog: pytest.LogCaptureFixture) -> None:
    class Raising(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray:
            raise KeyError("first")

        def finalize(self) -> None:
            raise OSError("second")

    with caplog.at_level(logging.ERROR), pytest.raises(UserCodeError, match="first"):
        drive(Raising, affine_port)
    assert "OSError: second" in caplog.text


def test_interrupt_from_the_keyboard_finalizes(affine_port: int) -> None:
    class Interrupted(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray:
            raise KeyboardInterrupt

    events: list = []
    with pytest.raises(KeyboardInterrupt):
        drive(Interrupted, affine_port, events=events)
    assert events[-1] == ("finalize",)


def test_refused_request_is_one_line_with_its_number_and_the_servers_message(affine_port: int) -> None:
    class ThirdIsWrong(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray:
            return _X if idx < 3 else _X.astype(np.float64)

    events: list = []
    with pytest.raises(ClientError) as caught:
        drive(ThirdIsWrong, affine_port, events=events, num_requests=-1)
    message = str(caught.value)
    assert message.startswith("request 3: INVALID_ARGUMENT: Expects arg[0] to be float but double is provided")
    assert message.endswith("input 'x' must be float32 of shape [-1, 2] (-1: any size). Got float64 of shape [2, 2].")
    assert "\n" not in message
    assert events.count(("finalize",)) == 1


def test_array_that_cannot_be_sent_is_the_users_error(affine_port: int) -> None:
    class Dates(RecordingClientIO):
        def getInputData(self, idx: int) -> np.ndarray:
            return np.array(["2024-01-01"], "datetime64[D]")

    with pytest.raises(UserCodeError, match=r"getInputData\(1\) returned what cannot be sent: .*datetime64"):
        drive(Dates, affine_port)


def test_timeout_names_the_limit_and_the_setting(tmp_path: Path) -> None:
    class Slow(RecordingClientIO):
        def getInputData(self, idx: int) -> dict[str, np.ndarray]:
            return {"seconds": np.float64(3), "started": np.array(str(tmp_path / "started"))}

    save_slow_model(tmp_path / "m" / "1")
    events: list = []
    with running_server(tmp_path / "m") as port, pytest.raises(ClientError) as caught:
        drive(Slow, port, events=events, timeout_seconds=1)
    assert re.search(r"request 1: DEADLINE_EXCEEDED: .* 1 s\. .*serving_client_timeout_int_secs", str(caught.value))
    assert events.count(("finalize",)) == 1


@pytest.mark.parametrize(("wait_seconds", "num_told"), [(1, 0), (1.5, 1)])
def test_unreachable_server_is_named_with_the_command_that_starts_one(
        wait_seconds: float, num_told: int, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    events: list = []
    with pytest.raises(ClientError) as caught:
        drive(RecordingClientIO, port, events=events, wait_seconds=wait_seconds)
    assert len(caplog.messages) == num_told
    for told in caplog.messages:
        assert told.startswith(f"waiting up to 1.5 s for model 'm' on a server at 127.0.0.1:{port} (nothing answers there). ")
        assert "by --port" in told and "--start_server --model_dir experiments/m`" in told
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message and f"within {wait_seconds} s" in message and "by --port" in message
    assert "experiments_manager.py --start_server --model_dir" in message
    assert "\n" not in message
    assert events == []


def test_model_that_is_not_served_is_named_after_the_wait(affine_port: int) -> None:
    with pytest.raises(ClientError, match="'other'.*NOT_FOUND: Could not find any versions of model other"):
        drive(RecordingClientIO, affine_port, model_name="other", wait_seconds=1)


def test_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "m" / "1")
    port = free_port()
    program = (f"import time; time.sleep(1); from pathlib import Path; from expman.serving.engines.serve import serve; "
               f"from expman.serving.engines.service import Service; serve(Service(base_path=Path({str(tmp_path / 'm')!r}), "
               f"model_name='m', address='127.0.0.1', port={port}), engine='embedded')")
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            summary, _ = drive(RecordingClientIO, port, wait_seconds=60)
        finally:
            process.kill()
    assert summary.num_requests == 1


def test_importing_the_client_starts_neither_tensorflow_nor_grpc() -> None:
    subprocess.run([sys.executable, "-c", "import sys; import expman.client.model_client; "
                    "assert not {'tensorflow', 'grpc'} & set(sys.modules), 'slow import'"], cwd=ROOT, check=True)
