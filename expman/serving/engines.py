"""Starts the model server that the user asked for: composes its command line and runs it, or serves in this process."""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from expman.errors import ServingError, UsageError
from expman.serving.endpoint import available_port, endpoint
from expman.serving.stop_signals import stop_signals

_LOGGER = logging.getLogger(__name__)

ENGINES = ("auto", "tensorflow_model_server", "docker", "apptainer", "embedded")

_POLL_SECONDS = 0.2
_CONTAINER_MODELS = "/models"
_CONTAINER_GRPC_PORT = 8500
_CONTAINER_REST_PORT = 8501
_WHAT_TO_INSTALL = {
    "tensorflow_model_server": "TensorFlow Serving's package tensorflow-model-server",
    "docker": "Docker (for a GPU, also the NVIDIA Container Toolkit)",
    "apptainer": "Apptainer",
}


def serve(*, base_path: Path, model_name: str, engine: str, address: str, port: int, rest_port: int, on_gpu: bool,
          max_message_bytes: int) -> int:
    """Serves a model until SIGINT or SIGTERM. Works in the main thread only.

    Arguments:
        base_path: holds one folder a version, named 1, 2, 3 …
        engine: one of `ENGINES`; 'auto' takes tensorflow_model_server from PATH if it is there, else 'embedded'.
        address: where to listen.
        port: for gRPC; 0 takes a free one.
        rest_port: for REST; 0 for none.
        max_message_bytes: the largest gRPC message, both directions.

    Returns:
        The exit code for the shell.

    Raises:
        UsageError: there is no such engine.
        ServingError: the engine is not installed, a port cannot be had, or (embedded) no version can be loaded.
    """
    if engine not in ENGINES:
        raise UsageError(f"--serving_engine must be one of {', '.join(ENGINES)}. Got '{engine}'.")
    if engine == "auto":
        engine = "tensorflow_model_server" if shutil.which("tensorflow_model_server") else "embedded"
    if engine == "embedded":
        return _serve_embedded(base_path=base_path, model_name=model_name, address=address, port=port,
                               rest_port=rest_port, on_gpu=on_gpu, max_message_bytes=max_message_bytes)
    if shutil.which(engine) is None:
        raise ServingError(f"'{engine}' is not on PATH. Install {_WHAT_TO_INSTALL[engine]}, or serve without it: "
                           "`--serving_engine embedded`.")
    port = available_port(address, port)
    if rest_port:
        available_port(address, rest_port)
    return run_server_process(_command(engine=engine, base_path=base_path.resolve(), model_name=model_name,
                                       address=address, port=port, rest_port=rest_port, on_gpu=on_gpu,
                                       max_message_bytes=max_message_bytes))


def tensorflow_model_server_command(*, base_path: Path, model_name: str, port: int, rest_port: int,
                                    max_message_bytes: int) -> list[str]:
    """The command line of TensorFlow Serving itself; it always listens on all addresses of the machine."""
    command = [
        "tensorflow_model_server",
        f"--model_name={model_name}",
        f"--model_base_path={base_path}",
        f"--port={port}",
        "--grpc_channel_arguments=grpc.max_receive_message_length="
        f"{max_message_bytes},grpc.max_send_message_length={max_message_bytes}",
    ]
    return [*command, f"--rest_api_port={rest_port}"] if rest_port else command


def docker_command(*, base_path: Path, model_name: str, address: str, port: int, rest_port: int, on_gpu: bool,
                   max_message_bytes: int) -> list[str]:
    """Runs TensorFlow Serving's image; its ports are published on `address` only, the model is mounted read-only."""
    mounted_path = Path(_CONTAINER_MODELS, model_name)
    command = ["docker", "run", "--rm", "--init",  # --init: a process with the number 1 would ignore SIGTERM.
               "--publish", f"{endpoint(address, port)}:{_CONTAINER_GRPC_PORT}"]
    if rest_port:
        command += ["--publish", f"{endpoint(address, rest_port)}:{_CONTAINER_REST_PORT}"]
    if on_gpu:
        command += ["--gpus", "all"]
    server = tensorflow_model_server_command(
        base_path=mounted_path, model_name=model_name, port=_CONTAINER_GRPC_PORT,
        rest_port=_CONTAINER_REST_PORT if rest_port else 0, max_message_bytes=max_message_bytes)
    return [*command, "--mount", f"type=bind,source={base_path},target={mounted_path},readonly",
            "--entrypoint", server[0], _image(on_gpu), *server[1:]]


def apptainer_command(*, base_path: Path, model_name: str, port: int, rest_port: int, on_gpu: bool,
                      max_message_bytes: int) -> list[str]:
    """Runs TensorFlow Serving's image on a node without Docker; it shares the machine's network."""
    mounted_path = Path(_CONTAINER_MODELS, model_name)
    server = tensorflow_model_server_command(base_path=mounted_path, model_name=model_name, port=port,
                                             rest_port=rest_port, max_message_bytes=max_message_bytes)
    return ["apptainer", "exec", *(["--nv"] if on_gpu else []), "--bind", f"{base_path}:{mounted_path}:ro",
            f"docker://{_image(on_gpu)}", *server]


def run_server_process(command: Sequence[str]) -> int:
    """Prints a command line, runs it, and hands SIGINT and SIGTERM on to it.

    Returns:
        The process's exit code; 0 when it ended by the signal that was handed on, 128 + number for any other signal.
    """
    print(shlex.join(command), flush=True)
    handed_on = set()
    with stop_signals() as signals:
        # A session of its own: a terminal's Ctrl-C would otherwise reach the server twice.
        with subprocess.Popen(command, start_new_session=True) as process:
            while process.poll() is None:
                if (number := signals.next(timeout_seconds=_POLL_SECONDS)) is not None:
                    handed_on.add(number)
                    process.send_signal(number)
    if process.returncode >= 0:
        return process.returncode
    return 0 if -process.returncode in handed_on else 128 - process.returncode


def _serve_embedded(*, base_path: Path, model_name: str, address: str, port: int, rest_port: int, on_gpu: bool,
                    max_message_bytes: int) -> int:
    if rest_port:
        _LOGGER.warning("the embedded server speaks gRPC only: nothing listens on the REST port %d", rest_port)
    available_port(address, port)  # Known before TensorFlow's library is opened.
    from expman.serving.embedded_server import run_embedded_server

    return run_embedded_server(base_path=base_path, model_name=model_name, address=address, port=port, on_gpu=on_gpu,
                               max_message_bytes=max_message_bytes)


def _command(*, engine: str, base_path: Path, model_name: str, address: str, port: int, rest_port: int, on_gpu: bool,
             max_message_bytes: int) -> list[str]:
    if engine == "docker":
        return docker_command(base_path=base_path, model_name=model_name, address=address, port=port,
                              rest_port=rest_port, on_gpu=on_gpu, max_message_bytes=max_message_bytes)
    _warn_of_open_address(address)
    if engine == "apptainer":
        return apptainer_command(base_path=base_path, model_name=model_name, port=port, rest_port=rest_port,
                                 on_gpu=on_gpu, max_message_bytes=max_message_bytes)
    return tensorflow_model_server_command(base_path=base_path, model_name=model_name, port=port,
                                           rest_port=rest_port, max_message_bytes=max_message_bytes)


def _image(on_gpu: bool) -> str:
    return "tensorflow/serving:latest-gpu" if on_gpu else "tensorflow/serving"


def _warn_of_open_address(address: str) -> None:
    if address not in ("0.0.0.0", "::"):
        _LOGGER.warning("tensorflow_model_server cannot be bound to %s alone: it listens on all addresses of this "
                        "machine. The engines docker and embedded can.", address)
