"""Each engine gets the right command line, is run as a child, and is stopped by the signals that reach the parent."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expman.errors import ServingError, UsageError
from expman.serving.batching.batching_parameters import read_batching_parameters
from expman.serving.endpoint import available_port, endpoint
from expman.serving.engines.engine_commands import (
    apptainer_command,
    docker_command,
    embedded_command,
    tensorflow_model_server_command,
)
from expman.serving.engines.serve import chosen_engine, serve
from expman.serving.engines.service import DEFAULT_BATCHING_FILE, Service
from tests.support.project import ROOT

_BASE_PATH = Path("/data/my models/digits")
_MESSAGE_ARGUMENT = ("--grpc_channel_arguments=grpc.max_receive_message_length=1000,"
                     "grpc.max_send_message_length=1000")
_BATCHING_FILE = Path("/data/my batching.pbtxt")
_FIRST_LINE_OF_STAND_IN = "stand-in runs"


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def stand_in(folder: Path, name: str, script: str) -> None:
    """Puts an executable on PATH: a Python script."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    file.chmod(0o755)


def service(**changes: object) -> Service:
    return Service(**{"base_path": _BASE_PATH, "model_name": "digits", "address": "127.0.0.1", "port": 0,
                      "max_message_bytes": 1000, **changes})


def test_tensorflow_model_server_gets_model_ports_and_message_size() -> None:
    assert tensorflow_model_server_command(service(port=9000, rest_port=9001)) == [
        "tensorflow_model_server", "--model_name=digits", "--model_base_path=/data/my models/digits", "--port=9000",
        "--rest_api_port=9001", _MESSAGE_ARGUMENT]


def test_rest_port_is_left_out_when_it_is_off() -> None:
    assert not any("rest" in argument for argument in tensorflow_model_server_command(service(port=9000)))


def test_batching_and_gpu_memory_reach_the_engine() -> None:
    command = tensorflow_model_server_command(service(port=9000, batching_file=_BATCHING_FILE, gpu_memory_fraction=0.25))
    assert command[-3:] == ["--per_process_gpu_memory_fraction=0.25", "--enable_batching=true",
                            "--batching_parameters_file=/data/my batching.pbtxt"]


@pytest.mark.parametrize("changes, expected", [
    ({"batching_file": DEFAULT_BATCHING_FILE}, "--tensorflow_intra_op_parallelism=4"),
    ({"batching_file": DEFAULT_BATCHING_FILE, "num_workers": 2}, "--tensorflow_intra_op_parallelism=2"),
    ({"batching_file": DEFAULT_BATCHING_FILE, "num_workers": 16}, "--tensorflow_intra_op_parallelism=1"),
    ({"batching_file": DEFAULT_BATCHING_FILE, "on_gpu": True}, None),
    ({"batching_file": _BATCHING_FILE}, None),
    ({}, None),
])
def test_batches_that_run_at_the_same_time_share_the_cores(
        monkeypatch: pytest.MonkeyPatch, changes: dict, expected: str | None) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    arguments = [argument for argument in embedded_command(service(**changes)) if "intra_op" in argument]
    assert arguments == ([] if expected is None else [expected])


def test_default_batching_runs_as_many_batches_as_share_the_cores() -> None:
    assert read_batching_parameters(DEFAULT_BATCHING_FILE).num_batch_threads == 2


def test_docker_publishes_on_the_address_only_and_mounts_read_only() -> None:
    assert docker_command(service(port=9000, rest_port=9001)) == [
        "docker", "run", "--rm", "--init", "--publish", "127.0.0.1:9000:8500", "--publish", "127.0.0.1:9001:8501",
        "--mount", "type=bind,source=/data/my models/digits,target=/models/digits,readonly",
        "--entrypoint", "tensorflow_model_server", "tensorflow/serving:2.21.0",
        "--model_name=digits", "--model_base_path=/models/digits", "--rest_api_port=8501", _MESSAGE_ARGUMENT]


def test_docker_on_gpu_takes_the_gpu_image_and_all_gpus() -> None:
    command = docker_command(service(address="::1", port=9000, on_gpu=True))
    assert command[command.index("--gpus") + 1] == "all"
    assert "tensorflow/serving:2.21.0-gpu" in command
    assert "[::1]:9000:8500" in command


def test_docker_mounts_the_batching_file_and_names_it_as_the_container_sees_it() -> None:
    command = docker_command(service(port=9000, batching_file=_BATCHING_FILE))
    assert "type=bind,source=/data/my batching.pbtxt,target=/batching_parameters.pbtxt,readonly" in command
    assert command[-1] == "--batching_parameters_file=/batching_parameters.pbtxt"


@pytest.mark.parametrize("on_gpu", [False, True])
def test_apptainer_binds_read_only_and_uses_the_gpu_when_asked(on_gpu: bool) -> None:
    assert apptainer_command(service(port=9000, on_gpu=on_gpu, batching_file=_BATCHING_FILE)) == [
        "apptainer", "exec", *(["--nv"] if on_gpu else []), "--bind", "/data/my models/digits:/models/digits:ro",
        "--bind", "/data/my batching.pbtxt:/batching_parameters.pbtxt:ro",
        f"docker://tensorflow/serving:2.21.0{'-gpu' if on_gpu else ''}",
        "tensorflow_model_server", "--model_name=digits", "--model_base_path=/models/digits", "--port=9000",
        _MESSAGE_ARGUMENT, "--enable_batching=true", "--batching_parameters_file=/batching_parameters.pbtxt"]


def test_embedded_server_gets_address_device_and_workers() -> None:
    assert embedded_command(service(port=9000, on_gpu=True, num_workers=3)) == [
        sys.executable, "-m", "expman.serving", "--model_name=digits", "--model_base_path=/data/my models/digits",
        "--port=9000", _MESSAGE_ARGUMENT, "--address=127.0.0.1", "--use_gpu=true", "--enable_grpc_healthcheck_service=true",
        "--num_workers=3"]


@pytest.mark.parametrize(("installed", "on_gpu", "num_workers", "engine"), [
    (["tensorflow_model_server", "docker"], True, 1, "tensorflow_model_server"),
    (["tensorflow_model_server"], False, 2, "embedded"),
    (["docker", "apptainer"], True, 1, "docker"),
    (["apptainer"], True, 1, "apptainer"),
    (["docker", "apptainer"], False, 1, "embedded"),
    ([], True, 1, "embedded")])
def test_auto_takes_the_program_then_for_a_gpu_a_container_then_the_embedded_server(
        path_folder: Path, installed: list[str], on_gpu: bool, num_workers: int, engine: str) -> None:
    for name in installed:
        stand_in(path_folder, name, "")
    assert chosen_engine(on_gpu=on_gpu, num_workers=num_workers) == engine


def test_several_workers_of_another_engine_are_refused(path_folder: Path) -> None:
    stand_in(path_folder, "docker", "raise SystemExit(99)")
    with pytest.raises(UsageError, match="--embedded_workers goes with the embedded server only, not with docker"):
        serve(service(num_workers=2), engine="docker")


def test_ipv6_address_is_written_in_brackets() -> None:
    assert endpoint("::1", 9000) == "[::1]:9000"
    assert endpoint("localhost", 9000) == "localhost:9000"


def test_port_0_is_replaced_by_a_free_one() -> None:
    assert available_port("127.0.0.1", 0) > 0


def test_port_out_of_range_is_an_error() -> None:
    with pytest.raises(ServingError, match="between 0 and 65535. Got 70000"):
        available_port("127.0.0.1", 70000)


def test_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="auto, tensorflow_model_server, docker, apptainer, embedded. Got 'triton'"):
        serve(service(), engine="triton")


@pytest.mark.parametrize("engine", ["tensorflow_model_server", "docker", "apptainer"])
def test_missing_executable_names_what_to_install_and_the_alternative(path_folder: Path, engine: str) -> None:
    assert not list(path_folder.iterdir())
    with pytest.raises(ServingError, match=f"'{engine}' is not on PATH. Install .*--serving_engine embedded"):
        serve(service(), engine=engine)


@pytest.mark.parametrize("ports", ["port", "rest_port"])
def test_port_in_use_is_found_before_the_engine_runs(path_folder: Path, used_port: int, ports: str) -> None:
    stand_in(path_folder, "tensorflow_model_server", "raise SystemExit(99)")
    with pytest.raises(ServingError, match=f"port {used_port} on 127.0.0.1 is already in use"):
        serve(service(**{ports: used_port}), engine="auto")


def test_embedded_engine_finds_the_port_in_use(used_port: int) -> None:
    with pytest.raises(ServingError, match=f"port {used_port} on 127.0.0.1 is already in use"):
        serve(service(port=used_port), engine="embedded")


def test_one_port_for_grpc_and_rest_is_an_error() -> None:
    port = available_port("127.0.0.1", 0)
    with pytest.raises(ServingError, match=f"cannot both have port {port}"):
        serve(service(port=port, rest_port=port), engine="embedded")


@pytest.mark.parametrize(("engine", "executable"), [
    ("auto", "tensorflow_model_server"), ("tensorflow_model_server", "tensorflow_model_server"), ("docker", "docker"),
    ("apptainer", "apptainer")])
def test_printed_command_line_is_what_runs_and_its_exit_code_is_returned(
        path_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str, executable: str) -> None:
    record = tmp_path / "arguments"
    stand_in(path_folder, executable, f"import sys; open({str(record)!r}, 'w').write('\\0'.join(sys.argv[1:])); "
                                      "sys.exit(7)")
    assert serve(service(base_path=tmp_path / "my models", batching_file=DEFAULT_BATCHING_FILE), engine=engine) == 7
    printed = shlex.split(capfd.readouterr().out)
    assert printed[0] == executable
    assert printed[1:] == record.read_text(encoding="utf-8").split("\0")
    assert any(str(tmp_path / "my models") in argument for argument in printed)


def test_engine_that_ends_by_a_signal_of_its_own_is_a_failure(path_folder: Path) -> None:
    stand_in(path_folder, "tensorflow_model_server", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert serve(service(), engine="auto") == 128 + signal.SIGKILL


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stop_signal_is_handed_on_and_the_exit_code_comes_back(
        path_folder: Path, tmp_path: Path, stop_signal: signal.Signals) -> None:
    stand_in(path_folder, "tensorflow_model_server", f"""
import signal, sys
signal.signal(signal.{stop_signal.name}, lambda *_: sys.exit(5))
print({_FIRST_LINE_OF_STAND_IN!r}, flush=True)
signal.pause()
""")
    with _serving_process(tmp_path) as process:
        process.send_signal(stop_signal)
        assert process.wait(60) == 5


def test_engine_that_ends_by_the_signal_handed_on_is_a_success(path_folder: Path, tmp_path: Path) -> None:
    stand_in(path_folder, "tensorflow_model_server",
             f"import signal; print({_FIRST_LINE_OF_STAND_IN!r}, flush=True); signal.pause()")
    with _serving_process(tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_external_engine_needs_no_tensorflow(path_folder: Path, tmp_path: Path) -> None:
    stand_in(path_folder, "tensorflow_model_server", "")
    subprocess.run([sys.executable, "-c", f"{_program(tmp_path)}; assert 'tensorflow' not in sys.modules"],
                   cwd=ROOT, check=True)


def _program(base_path: Path) -> str:
    return ("import sys; from pathlib import Path; from expman.serving.engines.serve import serve; "
            "from expman.serving.engines.service import Service; "
            f"code = serve(Service(base_path=Path({str(base_path)!r}), model_name='digits', address='127.0.0.1', port=0), "
            "engine='auto')")


@contextmanager
def _serving_process(base_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs `serve` in a process of its own; entered when the stand-in runs, which is killed in any case."""
    with subprocess.Popen([sys.executable, "-c", f"{_program(base_path)}; sys.exit(code)"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        try:
            assert process.stdout.readline().startswith("tensorflow_model_server ")
            assert process.stdout.readline().strip() == _FIRST_LINE_OF_STAND_IN
            yield process
        finally:
            # Its end is what the test checks; one that did not come must not leave a process behind.
            if process.poll() is None:
                process.terminate()
                time.sleep(1)
                process.kill()
