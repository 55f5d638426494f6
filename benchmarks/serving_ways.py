"""Several ways to put the same inference behind gRPC in Python, and what each gives.

    python benchmarks/serving_ways.py [--way NAME …] [--rounds N] [--seconds S] [--models FOLDER]

All serve the MLP of `serving_speed.py` and are asked in turn, on one connection and on eight. `events` are requests that gRPC's
own thread passes on, `listener` is the older way of gRPC to accept connections, `held` keeps the GIL while the model computes,
`switch` is the time after which a thread must give it up.
Printed are medians over the rounds of the requests per second, the p50, and the server's CPU time for each request.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from serving_speed_rounds import Setup, interleaved
from serving_speed_servers import FOLDER, Server, free_port, own_server, server_process

_OLD_LISTENER = "GRPC_EXPERIMENTS=-event_engine_listener"
# Name -> flags of `serving_ways_server.py` and variables of its environment; None: the project's own server.
WAYS = {
    "no-op": ("--noop={answer}",),
    "no-op, listener": ("--noop={answer}", _OLD_LISTENER),
    "no-op, listener, 3 threads": ("--noop={answer}", _OLD_LISTENER, "--threads=3"),
    "no-op, event loop": ("--noop={answer}", "--transport=loop"),
    "no-op, events": ("--noop={answer}", "--transport=events"),
    "no-op, events, listener": ("--noop={answer}", "--transport=events", _OLD_LISTENER),
    "8 threads": (),
    "8 threads, gRPC parses": ("--grpc_parses",),
    "8 threads, GIL held": ("--holds_gil",),
    "8 threads, switch 0.5 ms": ("--switch_interval=0.0005",),
    "8 threads, switch 50 ms": ("--switch_interval=0.05",),
    "8 threads, gc frozen": ("--freezes_gc",),
    "8 threads, 1 an operation": ("--intra_op_threads=1",),
    "8 threads, listener": (_OLD_LISTENER,),
    "4 threads, listener": (_OLD_LISTENER, "--threads=4"),
    "3 threads, listener": (_OLD_LISTENER, "--threads=3"),
    "2 threads, listener": (_OLD_LISTENER, "--threads=2"),
    "1 thread, listener": (_OLD_LISTENER, "--threads=1"),
    "3 threads, listener, held": (_OLD_LISTENER, "--threads=3", "--holds_gil"),
    "event loop": ("--transport=loop",),
    "event loop, GIL held": ("--transport=loop", "--holds_gil"),
    "event loop, 8 threads": ("--transport=loop_and_pool",),
    "event loop, 1 thread": ("--transport=loop_and_pool", "--threads=1"),
    "events, 8 threads, listener": ("--transport=events_and_pool", _OLD_LISTENER),
    "events, 3 threads, listener": ("--transport=events_and_pool", _OLD_LISTENER, "--threads=3"),
    "events": ("--transport=events",),
    "events, listener": ("--transport=events", _OLD_LISTENER),
    "events, listener, held": ("--transport=events", _OLD_LISTENER, "--holds_gil"),
    "the server": None,
    "the server, 2 workers": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    with ExitStack() as undo:
        models = (options.models or Path(undo.enter_context(tempfile.TemporaryDirectory()))).resolve()
        if not (models / "large.answer").exists():
            subprocess.run([sys.executable, FOLDER / "serving_speed_models.py", models], check=True)
        setup = Setup(models=models, rounds=options.rounds, seconds=options.seconds, rivals=None)
        servers = {way: started(way, models, undo) for way in options.way}
        for connections in (1, 8):
            interleaved(servers, setup, connections=connections)


def started(way: str, models: Path, undo: ExitStack) -> Server:
    """A server of its own process, ended with the stack."""
    if WAYS[way] is None:
        return undo.enter_context(own_server(models, "mlp", *(["--num_workers=2"] if "workers" in way else [])))
    port = free_port()
    flags = [flag.format(answer=models / "mlp.answer") for flag in WAYS[way] if flag.startswith("--")]
    environment = dict(flag.split("=", 1) for flag in WAYS[way] if not flag.startswith("--"))
    process = undo.enter_context(server_process(
        [sys.executable, FOLDER / "serving_ways_server.py", str(port), models / "mlp", *flags], ready="ready",
        environment=environment))
    return Server(process=process, port=port, request=models / "mlp.request")


if __name__ == "__main__":
    main()
