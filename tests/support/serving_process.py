"""`python -m expman.serving` as a process of its own, which never outlives the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.project import ROOT
from tests.support.serving_models import free_port


@contextmanager
def server_process(base_path: Path, *flags: str, model_name: str = "m") -> Iterator[ServerProcess]:
    """Serves a model on loopback; entered when the server has said that it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "expman.serving", f"--model_name={model_name}", f"--model_base_path={base_path}",
               "--address=127.0.0.1", f"--port={port}", *flags]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment) as process:
        try:
            ready_line = process.stdout.readline()
            assert ready_line.startswith(f"serving '{model_name}'"), ready_line + process.stderr.read()
            yield ServerProcess(process, port, ready_line)
        finally:
            if process.poll() is None:
                process.kill()


class ServerProcess:
    """A running server.

    Attributes:
        process: the process.
        port: where it listens for gRPC.
        ready_line: what it printed.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, ready_line: str) -> None:
        self.process = process
        self.port = port
        self.ready_line = ready_line

    def resident_bytes(self) -> int:
        """The memory that the process has in use, as the system counts it."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError(self.process.pid)
