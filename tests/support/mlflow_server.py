"""Runs a real MLflow server with an SQLite store for tests; it can be ended and started again on what it has stored."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

LONGEST_WAIT_SECONDS = 120


class MlflowServer:
    """A server on a free port of the loopback.

    Arguments:
        folder: gets the store, the artifacts and the log.

    Attributes:
        address: for `tracking_uri`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Returns when the server answers."""
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self._folder / "log.txt", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1",
                 "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}",
                 "--artifacts-destination", str(self._folder / "artifacts")],
                stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log.txt").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server and what it has started; nothing when it does not run."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False
