"""Several ways to put the same inference behind gRPC in Python, and what each gives.

    python benchmarks/serving_ways.py [--way NAME …] [--rounds N] [--seconds S] [--models FOLDER]

All serve the MLP of `serving_speed.py` and are asked in turn, on one connection and on eight. Printed are medians over the rounds
of the requests per second, the p50, and the server's CPU time for each request.
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

WAYS = {
    "no-op, pool": ("--noop={answer}",),
    "no-op, loop": ("--noop={answer}", "--transport=loop"),
    "pool of 8": (),
    "pool of 1": ("--threads=1",),
    "pool of 2": ("--threads=2",),
    "pool of 4": ("--threads=4",),
    "pool of 16": ("--threads=16",),
    "pool, gRPC parses": ("--grpc_parses",),
    "pool, holds the GIL": ("--holds_gil",),
    "pool, switch 0.2 ms": ("--switch_interval=0.0002",),
    "pool, switch 50 ms": ("--switch_interval=0.05",),
    "pool, gc frozen": ("--freezes_gc",),
    "pool, 1 thread per op": ("--intra_op_threads=1",),
    "loop": ("--transport=loop",),
    "loop, holds the GIL": ("--transport=loop", "--holds_gil"),
    "loop and pool of 8": ("--transport=loop_and_pool",),
    "loop and pool of 1": ("--transport=loop_and_pool", "--threads=1"),
    "no-op, pool, old listener": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener"),
    "no-op, OL, poll": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener", "GRPC_POLL_STRATEGY=poll"),
    "no-op, OL, -cbcq": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener,-event_engine_callback_cq"),
    "no-op, OL, -all": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener,-event_engine_callback_cq,-event_engine_client,-event_engine_dns,-event_engine_for_all_other_endpoints"),
    "no-op, OL, pool2": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener", "--threads=2"),
    "no-op, OL, pool1": ("--noop={answer}", "GRPC_EXPERIMENTS=-event_engine_listener", "--threads=1"),
    "no-op, loop, OL": ("--noop={answer}", "--transport=loop", "GRPC_EXPERIMENTS=-event_engine_listener"),
    "pool, old listener": ("GRPC_EXPERIMENTS=-event_engine_listener",),
    "pool of 4, old listener": ("GRPC_EXPERIMENTS=-event_engine_listener","--threads=4"),
    "pool of 2, old listener": ("GRPC_EXPERIMENTS=-event_engine_listener","--threads=2"),
    "loop, old listener": ("--transport=loop", "GRPC_EXPERIMENTS=-event_engine_listener"),
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
