"""Chooses the engine, prints its exact command line and runs it.

The embedded engine with one worker runs in this process, with what that command line says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shlex
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

from expman.errors import ServingError, UsageError
from expman.serving.endpoint import available_port
from expman.serving.engines.engine_commands import (
    apptainer_command,
    docker_command,
    embedded_command,
    tensorflow_model_server_command,
)
from expman.serving.engines.server_process import run_server_process
from expman.serving.engines.service import Service

_LOGGER = logging.getLogger(__name__)

_COMMANDS: dict[str, Callable[[Service], list[str]]] = {
    "tensorflow_model_server": tensorflow_model_server_command,
    "docker": docker_command,
    "apptainer": apptainer_command,
    "embedded": embedded_command,
}
ENGINES = ("auto", *_COMMANDS)

_INSTALLATIONS = {
    "tensorflow_model_server": "TensorFlow Serving's package tensorflow-model-server",
    "docker": "Docker (for a GPU, also the NVIDIA Container Toolkit)",
    "apptainer": "Apptainer",
}


def serve(service: Service, *, engine: str,
          announce: Callable[[Service], AbstractContextManager[None]] = contextlib.nullcontext) -> int:
    """Serves a model until SIGINT or SIGTERM. Works in the main thread only.

    Arguments:
        service: what and where.
        engine: one of `ENGINES`; for 'auto' see `chosen_engine`.
        announce: told the service as it runs, with its ports; entered before the server starts, left when it has ended.

    Returns:
        The exit code for the shell.

    Raises:
        UsageError: there is no such engine, or it cannot do what is asked.
        ServingError: the engine is not installed, a port cannot be had, or (embedded) no version can be loaded.
    """
    if engine not in ENGINES:
        raise UsageError(f"--serving_engine must be one of {', '.join(ENGINES)}. Got '{engine}'.")
    if engine == "auto":
        engine = chosen_engine(on_gpu=service.on_gpu, num_workers=service.num_workers)
    if service.num_workers > 1 and engine != "embedded":
        raise UsageError(f"--embedded_workers goes with the embedded server only, not with {engine}, which uses all cores "
                         "in one process. Leave it out, or add `--serving_engine embedded`.")
    if engine != "embedded" and shutil.which(engine) is None:
        raise ServingError(f"'{engine}' is not on PATH. Install {_INSTALLATIONS[engine]}, or serve without it: "
                           "`--serving_engine embedded`.")
    port = available_port(service.address, service.port)
    if service.rest_port:
        available_port(service.address, service.rest_port)
    if service.rest_port == port:
        raise ServingError(f"gRPC and REST cannot both have port {port}. Change tensorflow_server_rest_port.")
    service = dataclasses.replace(service, base_path=service.base_path.resolve(), port=port)
    with announce(service):
        return _run(service, engine)


def _run(service: Service, engine: str) -> int:
    command = _COMMANDS[engine](service)
    print(shlex.join(command), flush=True)
    if engine == "embedded" and service.num_workers == 1:
        from expman.serving.engines.embedded_engine import run_embedded

        return run_embedded(service)
    if engine == "embedded":
        from expman.serving.server_flags import parse_flags
        from expman.serving.workers import run_workers

        flags = command[3:]
        return run_workers(flags, parse_flags(flags))
    if engine != "docker" and service.address not in ("0.0.0.0", "::"):
        _LOGGER.warning("tensorflow_model_server cannot be bound to %s alone: it listens on all addresses of this "
                        "machine. The engines docker and embedded can.", service.address)
    return run_server_process(command)


def chosen_engine(*, on_gpu: bool, num_workers: int = 1) -> str:
    """Returns the program where it is installed; for a GPU else a container where one can run; else the embedded server."""
    candidates = [] if num_workers > 1 else ["tensorflow_model_server", *(("docker", "apptainer") if on_gpu else ())]
    return next((engine for engine in candidates if shutil.which(engine)), "embedded")
