"""Composes the command line of each engine."""

from __future__ import annotations

import sys
from pathlib import Path

from expman.serving.endpoint import endpoint
from expman.serving.engines.service import Service
from expman.serving.server_flags import flag_arguments

_MODELS_FOLDER = "/models"
_BATCHING_FILE = "/batching_parameters.pbtxt"
_GRPC_PORT = 8500
_REST_PORT = 8501
_IMAGE = "tensorflow/serving:2.21.0"
_GPU_IMAGE = "tensorflow/serving:2.21.0-gpu"


def tensorflow_model_server_command(service: Service) -> list[str]:
    """Returns the command of TensorFlow Serving itself; it always listens on all addresses of the machine."""
    return ["tensorflow_model_server", *_flags(service)]


def embedded_command(service: Service) -> list[str]:
    """Returns the command of this project's server."""
    return [sys.executable, "-m", "expman.serving", *_flags(service), *flag_arguments({
        "address": service.address, "use_gpu": "true" if service.on_gpu else "false",
        "enable_grpc_healthcheck_service": True, "num_workers": service.num_workers}.items())]


def docker_command(service: Service) -> list[str]:
    """Returns the command of TensorFlow Serving's image.

    Its ports are published on the service's address only, the model is mounted read-only.
    """
    model_path = f"{_MODELS_FOLDER}/{service.model_name}"
    command = ["docker", "run", "--rm", "--init",  # --init: a process with the number 1 would ignore SIGTERM.
               "--publish", f"{endpoint(service.address, service.port)}:{_GRPC_PORT}"]
    if service.rest_port:
        command += ["--publish", f"{endpoint(service.address, service.rest_port)}:{_REST_PORT}"]
    if service.on_gpu:
        command += ["--gpus", "all"]
    command += ["--mount", _docker_mount(service.base_path, model_path)]
    if service.batching_file is not None:
        command += ["--mount", _docker_mount(service.batching_file, _BATCHING_FILE)]
    return [*command, "--entrypoint", "tensorflow_model_server", _image(service),
            *_flags(service, base_path=model_path, port=_GRPC_PORT, rest_port=_REST_PORT if service.rest_port else 0,
                    batching_file=_BATCHING_FILE)]


def apptainer_command(service: Service) -> list[str]:
    """Returns the command of TensorFlow Serving's image on a node without Docker; it shares the machine's network."""
    model_path = f"{_MODELS_FOLDER}/{service.model_name}"
    command = ["apptainer", "exec", *(["--nv"] if service.on_gpu else []), "--bind", f"{service.base_path}:{model_path}:ro"]
    if service.batching_file is not None:
        command += ["--bind", f"{service.batching_file}:{_BATCHING_FILE}:ro"]
    return [*command, f"docker://{_image(service)}", "tensorflow_model_server",
            *_flags(service, base_path=model_path, batching_file=_BATCHING_FILE)]


def _flags(service: Service, *, base_path: str | Path | None = None, port: int | None = None, rest_port: int | None = None,
           batching_file: str | None = None) -> list[str]:
    """Returns the flags that all engines share; a container sees other paths and ports."""
    message_bytes = service.max_message_bytes
    flags = {
        "model_name": service.model_name,
        "model_base_path": service.base_path if base_path is None else base_path,
        "port": service.port if port is None else port,
        "rest_api_port": service.rest_port if rest_port is None else rest_port,
        "grpc_channel_arguments": f"grpc.max_receive_message_length={message_bytes},"
                                  f"grpc.max_send_message_length={message_bytes}",
        "per_process_gpu_memory_fraction": service.gpu_memory_fraction,
        "tensorflow_intra_op_parallelism": service.intra_op_threads,
    }
    if service.batching_file is not None:
        flags |= {"enable_batching": True, "batching_parameters_file": batching_file or service.batching_file}
    return flag_arguments(flags.items())


def _docker_mount(source: Path, target: str) -> str:
    return f"type=bind,source={source},target={target},readonly"


def _image(service: Service) -> str:
    return _GPU_IMAGE if service.on_gpu else _IMAGE
