"""Starts the servers that the serving benchmarks compare, asks them, and tells what that took."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from serving_load import WARM_UP_REQUESTS

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
_END_SECONDS = 20
_MICROSECONDS_OF_A_TICK = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """What one stretch of load has measured.

    Attributes:
        begins: when each request was sent, by `time.monotonic`, ascending.
        seconds: how long each took.
        duration_seconds: of the stretch.
        cpu_microseconds: CPU time of all the server's processes for each request.
    """

    begins: list[float]
    seconds: list[float]
    duration_seconds: float
    cpu_microseconds: float

    @cached_property
    def p50_microseconds(self) -> float:
        """The median time of a request."""
        return statistics.median(self.seconds) * 1e6

    @property
    def requests_per_second(self) -> float:
        """Answered requests."""
        return len(self.seconds) / self.duration_seconds


@dataclass(kw_only=True)
class Server:
    """A server process and how to ask it.

    Attributes:
        process: the process; it leads a session of its own.
        port: where it listens.
        request: a file with the serialized message, or with the body where there is a path.
        http_path: where to POST; None: over gRPC.
        grpc_method: what to call there; None: Predict of TensorFlow Serving.
    """

    process: subprocess.Popen[str]
    port: int
    request: Path
    http_path: str | None = None
    grpc_method: str | None = None

    def load_process(self, *, connections: int, seconds: float) -> subprocess.Popen[str]:
        """Starts `serving_load.py`."""
        options = {"target": f"127.0.0.1:{self.port}", "request": self.request, "connections": connections,
                   "seconds": seconds, "http_path": self.http_path, "grpc_method": self.grpc_method}
        return subprocess.Popen([sys.executable, FOLDER / "serving_load.py", *(
            f"--{name}={value}" for name, value in options.items() if value is not None)], text=True, stdout=subprocess.PIPE)

    def sample(self, *, connections: int, seconds: float) -> Sample:
        """Asks for a while."""
        ticks = cpu_ticks(self.process.pid)
        with self.load_process(connections=connections, seconds=seconds) as load:
            output, _ = load.communicate()
        return self.sample_of(load, output, ticks=ticks, connections=connections, seconds=seconds)

    def sample_of(self, load: subprocess.Popen[str], output: str, *, ticks: int, connections: int, seconds: float) -> Sample:
        """What a load process has found that began when the server had used so many ticks of CPU time."""
        if load.returncode:
            raise RuntimeError(f"the load on port {self.port} failed, see above")
        times = json.loads(output)
        num_requests = len(times["seconds"]) + WARM_UP_REQUESTS * connections
        cpu_microseconds = (cpu_ticks(self.process.pid) - ticks) * _MICROSECONDS_OF_A_TICK / num_requests
        return Sample(times["begins"], times["seconds"], seconds, cpu_microseconds)


@contextmanager
def server_process(command: Sequence[str | Path], *, ready: str, environment: Mapping[str, str] | None = None
                   ) -> Iterator[subprocess.Popen[str]]:
    """Runs a server; entered when it has printed a line that begins with `ready`, at once where that is ''.

    Raises:
        RuntimeError: it ended before.
    """
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})})
    try:
        if ready:
            line = process.stdout.readline()
            if not line.startswith(ready):
                raise RuntimeError(f"{command} ended or printed something else: {line!r}")
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # With what it may have left behind.
        process.wait()


@contextmanager
def own_server(models: Path, model: str, *flags: str) -> Iterator[Server]:
    """This project's server with one of the exported models."""
    port = free_port()
    with server_process([sys.executable, "-m", "expman.serving", "--model_name=m", f"--model_base_path={models / model}",
                         "--address=127.0.0.1", f"--port={port}", *flags], ready="serving 'm'") as process:
        yield Server(process=process, port=port, request=models / f"{model}.request")


@contextmanager
def own_rest_server(models: Path, model: str) -> Iterator[Server]:
    """The same over REST."""
    port = free_port()
    with own_server(models, model, f"--rest_api_port={port}") as server:
        yield Server(process=server.process, port=port, request=models / f"{model}.json", http_path="/v1/models/m:predict")


@contextmanager
def noop_server(models: Path, model: str) -> Iterator[Server]:
    """One that answers what the model would, without a model."""
    port = free_port()
    with server_process([sys.executable, FOLDER / "serving_noop_server.py", str(port), models / f"{model}.answer"],
                        ready="ready") as process:
        yield Server(process=process, port=port, request=models / f"{model}.request")


@contextmanager
def plain_server(models: Path, model: str) -> Iterator[Server]:
    """A pool of threads over `tf.saved_model.load`."""
    port = free_port()
    with server_process([sys.executable, FOLDER / "serving_plain_server.py", str(port), models / model / "1"],
                        ready="ready") as process:
        yield Server(process=process, port=port, request=models / f"{model}.request")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_ticks(pid: int) -> int:
    """CPU time of a process and of those that it has started, in the system's ticks."""
    ticks = 0
    for process in _process_tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def resident_megabytes(pid: int) -> float:
    """Memory that a process has in use."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _process_tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text(encoding="utf-8").split():
            yield from _process_tree(int(child))
