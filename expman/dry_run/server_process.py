"""Runs the embedded model server in a process of its own, as a user would."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from expman.errors import ServingError
from expman.installation import child_environment
from expman.serving.endpoint import available_port
from expman.serving.engines.engine_commands import embedded_command
from expman.serving.engines.service import Service

_STOP_SECONDS = 10


@contextlib.contextmanager
def served_in_a_process(*, base_path: Path, model_name: str, address: str, port: int, on_gpu: bool, max_message_bytes: int,
                        wait_seconds: float) -> Iterator[int]:
    """Serves a model while the block lasts.

    In another process nothing can be served by accident, such as a Python function that the exported model calls and that
    exists in the training process only.

    Arguments:
        base_path, model_name: what to serve.
        address, port: where; port 0 takes a free one.
        on_gpu: run the model on GPUs.
        max_message_bytes: the largest message, both directions.
        wait_seconds: how long the server may take to be ready.

    Yields:
        The port.

    Raises:
        ServingError: the server ended, or was not ready in time; with what it wrote.
    """
    port = available_port(address, port)
    command = embedded_command(Service(base_path=base_path.resolve(), model_name=model_name, address=address, port=port,
                                       on_gpu=on_gpu, max_message_bytes=max_message_bytes))
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=messages, text=True,
            env=child_environment(PYTHONDONTWRITEBYTECODE="1"))
        try:
            if not _is_ready(process, wait_seconds):
                messages.seek(0)
                state = "ended" if process.poll() is not None else f"was not ready within {wait_seconds:g} s"
                raise ServingError(f"The embedded server {state}.\n{messages.read()}".rstrip())
            yield port
        finally:
            _stop(process)


def _is_ready(process: subprocess.Popen[str], wait_seconds: float) -> bool:
    """Waits for the server's first line, which it prints when it can answer."""
    readable, _, _ = select.select([process.stdout], [], [], wait_seconds)
    return bool(readable and process.stdout.readline())


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
