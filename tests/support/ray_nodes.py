"""Starts the nodes of a Ray cluster on this machine, each as `ray start` does on a machine of its own, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SECONDS_TO_START = 60.0
_SYSTEM = {"health_check_initial_delay_ms": 2000, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


class RayNodes:
    """A cluster whose processes can be told apart by node.

    Attributes:
        address: of its head.
        environment: for processes that connect to it: it lets in only those that know a token.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starters: list[subprocess.Popen] = []
        self.environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
                            "RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0"}
        self.environment.pop("RAY_ADDRESS", None)
        port, client_port = _free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self._start("--head", f"--port={port}", f"--ray-client-server-port={client_port}", "--include-dashboard=false",
                    f"--temp-dir={folder}", f"--system-config={json.dumps(_SYSTEM)}")
        self._start(f"--address={self.address}")

    def raylet(self, index: int) -> int:
        """The process id of a node's raylet: 0 is the head."""
        return next(process for process in _children(self._starters[index].pid) if _command(process).endswith("/raylet"))

    def end(self) -> None:
        """Ends all nodes, the head last."""
        for starter in reversed(self._starters):
            starter.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                starter.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(starter.pid, signal.SIGKILL)  # its own session, which holds what it has started
            starter.wait()

    def _start(self, *options: str) -> None:
        log = self._folder / f"node{len(self._starters)}.log"
        with open(log, "w", encoding="utf-8") as stream:
            self._starters.append(subprocess.Popen(
                [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats",
                 "--object-store-memory=80000000", *options], env=self.environment, cwd=self._folder, stdout=stream,
                stderr=subprocess.STDOUT, start_new_session=True))
        deadline = time.monotonic() + _SECONDS_TO_START
        while "Ray runtime started" not in log.read_text(encoding="utf-8"):
            assert self._starters[-1].poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)


@contextlib.contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """Two nodes of one core each."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, for the paths of sockets are limited
    nodes = RayNodes.__new__(RayNodes)
    try:
        nodes.__init__(folder)
        yield nodes
    finally:
        nodes.end()
        shutil.rmtree(folder, ignore_errors=True)


def trials_of_node(raylet: int, sweep_folder: Path) -> dict[Path, int]:
    """The trials that are being trained on a node: folder → process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            log = Path(os.readlink(entry / "fd" / "1"))
            is_trial = entry.name.isdecimal() and log.name == "trial.log" and log.parent.parent == sweep_folder
            if is_trial and f"RAY_RAYLET_PID={raylet}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[log.parent] = int(entry.name)
    return found


def _free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0].decode()
