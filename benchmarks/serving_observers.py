"""What it costs that requests are observed: without observers, with one that does nothing, and with Prometheus' counters.

    python benchmarks/serving_observers.py [--rounds N] [--seconds S] [--models FOLDER]

First in one process: the processor time that the notes and the counting of one request take, in turn in many short stretches;
beside it the same counts kept by prometheus_client's own Counter and Histogram in its multi-process mode. Then servers with a
small network that run at the same time and are asked in turn on 8 connections, as in serving_speed.py, over gRPC and over REST. Two
of them are alike: what they differ by is noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from idle_observer import IdleObserver
from serving_speed_rounds import Setup, cpu_microseconds, interleaved, print_bar, ratios, requests_per_second
from serving_speed_servers import FOLDER, ROOT, Server, free_port, own_server

sys.path.insert(0, str(ROOT))
_STRETCHES, _REQUESTS_OF_A_STRETCH = 200, 500
_NONE, _NONE_AGAIN, _IDLE = "no observer", "no observer, once more", "one that does nothing"
_METRICS, _LIBRARY = "Prometheus' counters", "the same by the library"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        measure_notes(folder)
        models = (options.models or folder).resolve()
        if not (models / "mlp.answer").exists():
            subprocess.run([sys.executable, FOLDER / "serving_speed_models.py", models], check=True)
        setup = Setup(models=models, rounds=options.rounds, seconds=options.seconds, rivals=None)
        with observed_servers(models, folder) as (over_grpc, over_rest):
            measure_servers("gRPC", over_grpc, setup)
            measure_servers("REST", over_rest, setup)


def measure_notes(folder: Path) -> None:
    """The time of the notes alone."""
    print("notes of one request, in one process")
    ways = ways_to_note(folder)
    microseconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_STRETCHES):
        for name, note in ways.items():
            begin = time.thread_time()
            for _ in range(_REQUESTS_OF_A_STRETCH):
                note()
            microseconds[name].append((time.thread_time() - begin) / _REQUESTS_OF_A_STRETCH * 1e6)
    for name, values in microseconds.items():
        print(f"  {name:26s} {statistics.median(values):6.2f} µs (least {min(values):.2f})", flush=True)


def ways_to_note(folder: Path) -> dict[str, Callable[[], None]]:
    """Name -> what a Predict does for its observers."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "library")
    (folder / "library").mkdir()
    (folder / "own").mkdir()
    from prometheus_client import Counter, Histogram

    from expman.serving.observers.observers import Observers
    from expman.serving.observers.request_metrics import RequestMetrics

    count = Counter("request_count", "Requests.", ["model_name", "status"])
    latency = Histogram("request_latency", "Microseconds.", ["model_name", "API", "entrypoint"],
                        buckets=[10 * 1.8**step for step in range(33)])

    class LibraryObserver(IdleObserver):
        def observe(self, request: object) -> None:
            count.labels(request.model, "OK").inc()
            latency.labels(request.model, request.method, request.entrypoint).observe(request.seconds * 1e6)

    def noting(*all_observers: object) -> Callable[[], None]:
        observers = Observers()
        for observer in all_observers:
            observers.add(observer)
        arrays, names = {"x:0": None}, {"x": "x:0"}

        def note() -> None:
            observed = observers.begin("Predict", entrypoint="GRPC")
            observed.note_request(model="m", signature_name="", request=None)
            observed.note_version(1)
            observed.note_inputs(arrays, names)
            observed.note_outputs(arrays)
            observed.end(0)

        return note

    return {_NONE: noting(), _IDLE: noting(IdleObserver(None)),
            _METRICS: noting(RequestMetrics(path="/metrics", folder=folder / "own")), _LIBRARY: noting(LibraryObserver(None))}


@contextmanager
def observed_servers(models: Path, folder: Path) -> Iterator[tuple[dict[str, Server], dict[str, Server]]]:
    """Yields name -> a server as it is asked over gRPC, and the same over REST."""
    monitoring = folder / "monitoring.pbtxt"
    monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
    flags = {_NONE: [], _NONE_AGAIN: [], _IDLE: ["--observers=benchmarks.idle_observer:IdleObserver"],
             _METRICS: [f"--monitoring_config_file={monitoring}"]}
    over_grpc, over_rest = {}, {}
    with ExitStack() as undo:
        for name, more in flags.items():
            rest_port = free_port()
            server = over_grpc[name] = undo.enter_context(own_server(models, "mlp", f"--rest_api_port={rest_port}", *more))
            over_rest[name] = replace(server, port=rest_port, request=models / "mlp.json", http_path="/v1/models/m:predict")
        yield over_grpc, over_rest


def measure_servers(protocol: str, servers: Mapping[str, Server], setup: Setup) -> None:
    """Requests per second, and processor time a request."""
    print(protocol, flush=True)
    samples = interleaved(servers, setup, connections=8)
    for name in (_NONE_AGAIN, _IDLE, _METRICS):
        print_bar(f"requests/s, {name} / {_NONE}", ratios(samples[name], samples[_NONE], requests_per_second), at_least=0.97)
        print_bar(f"CPU a request, {name} / {_NONE}", ratios(samples[name], samples[_NONE], cpu_microseconds), at_most=1.03)


if __name__ == "__main__":
    main()
