"""The measures of `serving_speed.py` that need nothing but this project."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack

import grpc
from serving_load import CHANNEL_OPTIONS, PREDICT
from serving_speed_rounds import Setup, interleaved, p50_microseconds, print_bar, ratios, requests_per_second
from serving_speed_servers import ROOT, Server, noop_server, own_server, plain_server, resident_megabytes

_BATCHING_PARAMETERS = ROOT / "expman/serving/engines/batching_parameters.pbtxt"


def measure_noop(setup: Setup) -> None:
    """Beside a gRPC server without a model."""
    with noop_server(setup.models, "mlp") as noop, own_server(setup.models, "mlp") as own:
        servers = {"no-op": noop, "own": own}
        one = interleaved(servers, setup, connections=1)
        print_bar("p50, own / no-op", ratios(one["own"], one["no-op"], p50_microseconds), at_most=1.5)
        with own_server(setup.models, "mlp", "--num_workers=2") as two_workers:
            eight = interleaved({**servers, "own, 2 workers": two_workers}, setup, connections=8)
        for name in ("own", "own, 2 workers"):
            print_bar(f"requests/s, {name} / no-op", ratios(eight[name], eight["no-op"], requests_per_second), at_least=0.7)


def measure_batching(setup: Setup) -> None:
    """As `--start_server` serves with `--batching` and without: a network of two convolutions, and one of 52.

    With batching, an operation gets half of the cores, as two batches run at a time; "off, shared cores" is the same without.
    """
    timeout_micros = int(re.search(r"batch_timeout_micros \{ value: (\d+)", _BATCHING_PARAMETERS.read_text("utf-8")).group(1))
    shared_cores = f"--tensorflow_intra_op_parallelism={max(1, len(os.sched_getaffinity(0)) // 2)}"
    for model in ("cnn", "mobilenet"):
        off, on, off_sharing = (f"{model}, {way}" for way in ("off", "on", "off, shared cores"))
        with (own_server(setup.models, model) as without,
              own_server(setup.models, model, "--enable_batching", f"--batching_parameters_file={_BATCHING_PARAMETERS}",
                         shared_cores) as joining,
              own_server(setup.models, model, shared_cores) as sharing):
            eight = interleaved({off: without, on: joining, off_sharing: sharing}, setup, connections=8)
            one = interleaved({off: without, on: joining}, setup, connections=1)
        for other in (off, off_sharing):
            print_bar(f"requests/s, {on} / {other}", ratios(eight[on], eight[other], requests_per_second), at_least=1.5)
        longer = [joined.p50_microseconds - alone.p50_microseconds for joined, alone in zip(one[on], one[off])]
        print_bar(f"p50 on one connection, {model}, on - off", longer, at_most=timeout_micros, unit=" µs")


def measure_plain(setup: Setup) -> None:
    """Beside the server that one writes without a model server."""
    with plain_server(setup.models, "mlp") as plain, own_server(setup.models, "mlp") as own:
        samples = interleaved({"tf.saved_model.load": plain, "own": own}, setup, connections=8)
        print_bar("requests/s, own / plain", ratios(samples["own"], samples["tf.saved_model.load"], requests_per_second),
                  at_least=2)


def measure_start(setup: Setup) -> None:
    """The start, and the memory."""
    start_seconds, megabytes = [], []
    for _ in range(setup.rounds):
        begin = time.monotonic()
        with own_server(setup.models, "mlp") as server:
            _ask_once(server)
            start_seconds.append(time.monotonic() - begin)
            server.sample(connections=8, seconds=setup.seconds)
            megabytes.append(resident_megabytes(server.process.pid))
    print_bar("start to first answer", start_seconds, at_most=2, unit=" s")
    print_bar("resident memory", megabytes, at_most=450, unit=" MB")


def measure_megabyte(setup: Setup) -> None:
    """Large tensors."""
    with ExitStack() as undo:
        servers = {
            "no-op": undo.enter_context(noop_server(setup.models, "megabyte")),
            "own": undo.enter_context(own_server(setup.models, "megabyte")),
            "own, tensor_content": undo.enter_context(
                own_server(setup.models, "megabyte", "--enable_serialization_as_tensor_content"))}
        for connections in (8, 1):
            samples = interleaved(servers, setup, connections=connections)
            for name in list(servers)[1:]:
                print_bar(f"requests/s on {connections} connection(s), {name} / no-op",
                          ratios(samples[name], samples["no-op"], requests_per_second), at_least=0.6)


def _ask_once(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=CHANNEL_OPTIONS) as channel:
        channel.unary_unary(PREDICT)(server.request.read_bytes(), timeout=60)
