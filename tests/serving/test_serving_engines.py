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
from expman.serving.endpoint import available_port, endpoint
from expman.serving.engines import (
    apptainer_command,
    docker_command,
    serve,
    tensorflow_model_server_command,
)

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_BASE_PATH = Path("/data/my models/digits")
_MESSAGE_ARGUMENT = ("--grpc_channel_arguments=grpc.max_receive_message_length=1000,"
                     "grpc.max_send_message_length=1000")
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


def arguments(**changes: object) -> dict:
    return {"base_path": _BASE_PATH, "model_name": "digits", "engine": "auto", "address": "127.0.0.1", "port": 0,
            "rest_port": 0, "on_gpu": False, "max_message_bytes": 1000, **changes}


def test_tensorflow_model_server_gets_model_ports_and_message_size() -> None:
    command = tensorflow_model_server_command(base_path=_BASE_PATH, model_name="digits", port=9000, rest_port=9001,
                                              max_message_bytes=1000)
    assert command == ["tensorflow_model_server", "--model_name=digits", "--model_base_path=/data/my models/digits",
                       "--port=9000", _MESSAGE_ARGUMENT, "--rest_api_port=9001"]


def test_rest_port_is_left_out_when_it_is_off() -> None:
    command = tensorflow_model_server_command(base_path=_BASE_PATH, model_name="digits", port=9000, rest_port=0,
                                              max_message_bytes=1000)
    assert not any("rest" in argument for argument in command)


def test_docker_publishes_on_the_address_only_and_mounts_read_only() -> None:
    command = docker_command(base_path=_BASE_PATH, model_name="digits", address="127.0.0.1", port=9000, rest_port=9001,
                             on_gpu=False, max_message_bytes=1000)
    assert command == [
        "docker", "run", "--rm", "--init", "--publish", "127.0.0.1:9000:8500", "--publish", "127.0.0.1:9001:8501",
        "--mount", "type=bind,source=/data/my models/digits,target=/models/digits,readonly",
        "--entrypoint", "tensorflow_model_server", "tensorflow/serving",
        "--model_name=digits", "--model_base_path=/models/digits", "--port=8500", _MESSAGE_ARGUMENT,
        "--rest_api_port=8501"]


def test_docker_on_gpu_takes_the_gpu_image_and_all_gpus() -> None:
    command = docker_command(base_path=_BASE_PATH, model_name="digits", address="::1", port=9000, rest_port=0,
                             on_gpu=True, max_message_bytes=1000)
    assert command[command.index("--gpus") + 1] == "all"
    assert "tensorflow/serving:latest-gpu" in command
    assert "[::1]:9000:8500" in command


@pytest.mark.parametrize("on_gpu", [False, True])
def test_apptainer_binds_read_only_and_uses_the_gpu_when_asked(on_gpu: bool) -> None:
    command = apptainer_command(base_path=_BASE_PATH, model_name="digits", port=9000, rest_port=0, on_gpu=on_gpu,
                                max_message_bytes=1000)
    assert command == [
        "apptainer", "exec", *(["--nv"] if on_gpu else []), "--bind", "/data/my models/digits:/models/digits:ro",
        "docker://tensorflow/serving:latest-gpu" if on_gpu else "docker://tensorflow/serving",
        "tensorflow_model_server", "--model_name=digits", "--model_base_path=/models/digits", "--port=9000",
        _MESSAGE_ARGUMENT]


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
        serve(**arguments(engine="triton"))


@pytest.mark.parametrize("engine", ["tensorflow_model_server", "docker", "apptainer"])
def test_missing_executable_names_what_to_install_and_the_alternative(path_folder: Path, engine: str) -> None:
    assert not list(path_folder.iterdir())
    with pytest.raises(ServingError, match=f"'{engine}' is not on PATH. Install .*--serving_engine embedded"):
        serve(**arguments(engine=engine))


@pytest.mark.parametrize("ports", ["port", "rest_port"])
def test_port_in_use_is_found_before_the_engine_runs(path_folder: Path, used_port: int, ports: str) -> None:
    stand_in(path_folder, "tensorflow_model_server", "raise SystemExit(99)")
    with pytest.raises(ServingError, match=f"port {used_port} on 127.0.0.1 is already in use"):
        serve(**arguments(**{ports: used_port}))


def test_embedded_engine_finds_the_port_in_use(used_port: int) -> None:
    with pytest.raises(ServingError, match=f"port {used_port} on 127.0.0.1 is already in use"):
        serve(**arguments(engine="embedded", port=used_port))


def test_embedded_engine_warns_that_it_has_no_rest(used_port: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ServingError):
        serve(**arguments(engine="embedded", port=used_port, rest_port=9001))
    assert [record.getMessage() for record in caplog.records] == [
        "the embedded server speaks gRPC only: nothing listens on the REST port 9001"]


@pytest.mark.parametrize(("engine", "executable"), [
    ("auto", "tensorflow_model_server"), ("tensorflow_model_server", "tensorflow_model_server"), ("docker", "docker"),
    ("apptainer", "apptainer")])
def test_printed_command_line_is_what_runs_and_its_exit_code_is_returned(
        path_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str, executable: str) -> None:
    record = tmp_path / "arguments"
    stand_in(path_folder, executable, f"import sys; open({str(record)!r}, 'w').write('\\0'.join(sys.argv[1:])); "
                                      "sys.exit(7)")
    assert serve(**arguments(engine=engine, base_path=tmp_path / "my models")) == 7
    printed = shlex.split(capfd.readouterr().out)
    assert printed[0] == executable
    assert printed[1:] == record.read_text(encoding="utf-8").split("\0")
    assert any(str(tmp_path / "my models") in argument for argument in printed)


def test_engine_that_ends_by_a_signal_of_its_own_is_a_failure(path_folder: Path) -> None:
    stand_in(path_folder, "tensorflow_model_server", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert serve(**arguments()) == 128 + signal.SIGKILL


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
                   cwd=_REPOSITORY, check=True)


def _program(base_path: Path) -> str:
    values = ", ".join(f"{name}={value!r}" for name, value in arguments(base_path=str(base_path)).items())
    return ("import sys; from pathlib import Path; from expman.serving.engines import serve; "
            f"values = dict({values}); values['base_path'] = Path(values['base_path']); code = serve(**values)")


@contextmanager
def _serving_process(base_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs `serve` in a process of its own; entered when the stand-in runs, which is killed in any case."""
    with subprocess.Popen([sys.executable, "-c", f"{_program(base_path)}; sys.exit(code)"], cwd=_REPOSITORY, text=True,
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
