"""Asks a server as fast as it answers, and tells when each request was sent and how long it took.

    python benchmarks/serving_load.py --target 127.0.0.1:8500 --request FILE --connections 8 --seconds 5

A process of its own beside the server's. Requests are raw bytes, so that what is measured is the server. Over gRPC one
connection is asked by a thread that waits, several by one event loop, each with a channel that shares nothing with the others;
with `--http_path` the file is the body of a POST. Prints one line of JSON: {"begins": […], "seconds": […]}, in the order in
which the requests were sent, times of `time.monotonic`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc

WARM_UP_REQUESTS = 50
TIMEOUT_SECONDS = 60
CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
PREDICT = "/tensorflow.serving.PredictionService/Predict"

Times = list[tuple[float, float]]
Ask = Callable[[], Awaitable[bytes]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True, help="address:port")
    parser.add_argument("--request", type=Path, required=True, help="a file with the serialized message, or the body")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--http_path", help="ask over HTTP, there")
    parser.add_argument("--grpc_method", default=PREDICT)
    options = parser.parse_args()
    request = options.request.read_bytes()
    if options.connections == 1 and not options.http_path:
        times = times_of_one_grpc_connection(options.target, options.grpc_method, request, seconds=options.seconds)
    else:
        def connect() -> AbstractAsyncContextManager[Ask]:
            if options.http_path:
                return http_connection(options.target, options.http_path, request)
            return grpc_connection(options.target, options.grpc_method, request)

        times = asyncio.run(times_of_connections(connect, options.connections, seconds=options.seconds))
    times.sort()
    print(json.dumps({"begins": [begin for begin, _ in times], "seconds": [seconds for _, seconds in times]}))


def times_of_one_grpc_connection(target: str, method: str, request: bytes, *, seconds: float) -> Times:
    """When each request was sent, and how long it took."""
    times = []
    with grpc.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        ask = channel.unary_unary(method)
        for _ in range(WARM_UP_REQUESTS):
            ask(request, timeout=TIMEOUT_SECONDS)
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            ask(request, timeout=TIMEOUT_SECONDS)
            times.append((begin, time.monotonic() - begin))
    return times


async def times_of_connections(connect: Callable[[], AbstractAsyncContextManager[Ask]], num_connections: int, *,
                               seconds: float) -> Times:
    """The same for connections that are asked at the same time; all begin when all are warm."""
    times: Times = []
    are_warm = asyncio.Barrier(num_connections)

    async def ask_on_one() -> None:
        async with connect() as ask:
            for _ in range(WARM_UP_REQUESTS):
                await ask()
            await are_warm.wait()
            end = time.monotonic() + seconds
            while (begin := time.monotonic()) < end:
                await ask()
                times.append((begin, time.monotonic() - begin))

    await asyncio.gather(*(ask_on_one() for _ in range(num_connections)))
    return times


@asynccontextmanager
async def grpc_connection(target: str, method: str, request: bytes) -> AsyncIterator[Ask]:
    """Yields what sends the request once and returns the answer."""
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        call = channel.unary_unary(method)

        async def ask() -> bytes:
            return await call(request, timeout=TIMEOUT_SECONDS)

        yield ask


@asynccontextmanager
async def http_connection(target: str, path: str, body: bytes) -> AsyncIterator[Ask]:
    """Yields what sends the request once and returns the answer.

    HTTP libraries of Python take longer for a request than some of the servers, which would then all look alike.
    """
    address, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    request = (f"POST {path} HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    async def ask() -> bytes:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0].strip()
        answer = await reader.readexactly(int(length)) if length else b""
        if " 200 " not in head.partition("\r\n")[0] or not answer:
            raise RuntimeError(f"{target}{path} answered {head!r} {answer[:300]!r}")
        return answer

    try:
        yield ask
    finally:
        writer.close()


if __name__ == "__main__":
    main()
