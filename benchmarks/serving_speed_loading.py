"""The measure `loading` of `serving_speed.py`: what requests to one model notice while the same server loads another one."""

from __future__ import annotations

import statistics
import sys
import time

import grpc
from serving_load import CHANNEL_OPTIONS
from serving_speed_rounds import Setup, print_bar
from serving_speed_servers import ROOT, Sample, Server, cpu_ticks, own_server

sys.path.insert(0, str(ROOT))

from expman.wire.protos import model_management_pb2
from expman.wire.service_stubs import model_service_pb2_grpc

_SETTLING_SECONDS = 0.5


def measure_loading(setup: Setup) -> None:
    """p99 and the longest time of a request on one connection, before and while a ResNet50 is loaded."""
    before, during, load_seconds = [], [], []
    with own_server(setup.models, "mlp") as server, grpc.insecure_channel(
            f"127.0.0.1:{server.port}", options=CHANNEL_OPTIONS) as channel:
        for _ in range(setup.rounds):
            sample, (begin, end) = _asked_while_loading(server, model_service_pb2_grpc.ModelServiceStub(channel), setup)
            before.append([seconds for sent, seconds in zip(sample.begins, sample.seconds) if sent + seconds < begin])
            during.append([seconds for sent, seconds in zip(sample.begins, sample.seconds)
                           if sent + seconds > begin and sent < end])
            load_seconds.append(end - begin)
    for title, rounds in (("before", before), ("while loading", during)):
        print(f"  {title:26s} 1 connection {statistics.median(map(len, rounds)):8.0f} requests   p50 "
              f"{_median_of(rounds, 0.5) * 1e6:6.0f} µs   p99 {_median_of(rounds, 0.99) * 1e6:6.0f} µs   "
              f"longest {statistics.median(map(max, rounds)) * 1e3:.1f} ms ({max(map(max, rounds)) * 1e3:.1f} at worst)")
    print(f"  the load took {statistics.median(load_seconds):.2f} s")
    print_bar("p99, while loading / before",
              [_quantile(one, 0.99) / _quantile(other, 0.99) for one, other in zip(during, before)], at_most=2)


def _asked_while_loading(server: Server, stub: model_service_pb2_grpc.ModelServiceStub, setup: Setup
                         ) -> tuple[Sample, tuple[float, float]]:
    """Returns the requests, and when the load began and ended."""
    ticks = cpu_ticks(server.process.pid)
    seconds = 2 * setup.seconds
    with server.load_process(connections=1, seconds=seconds) as load:
        time.sleep(setup.seconds)
        begin = time.monotonic()
        stub.HandleReloadConfigRequest(_config(setup, "mlp", "large"), timeout=60)
        end = time.monotonic()
        output, _ = load.communicate()
    stub.HandleReloadConfigRequest(_config(setup, "mlp"), timeout=60)
    time.sleep(_SETTLING_SECONDS)
    return server.sample_of(load, output, ticks=ticks, connections=1, seconds=seconds), (begin, end)


def _config(setup: Setup, *models: str) -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    for model in models:
        request.config.model_config_list.config.add(
            name="m" if model == "mlp" else model, base_path=str(setup.models / model), model_platform="tensorflow")
    return request


def _quantile(values: list[float], fraction: float) -> float:
    return sorted(values)[int(fraction * len(values))]


def _median_of(rounds: list[list[float]], fraction: float) -> float:
    return statistics.median(_quantile(values, fraction) for values in rounds)
