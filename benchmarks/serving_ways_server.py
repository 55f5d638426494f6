"""One way of `serving_ways.py` to put the project's own inference behind gRPC.

python benchmarks/serving_ways_server.py PORT BASE_PATH [--transport pool|events|loop|…] [--threads N] …
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.runtimes.saved_model_predictor import SavedModelPredictor  # noqa: E402
from expman.runtimes.session import SessionOptions  # noqa: E402
from expman.runtimes.tensorflow_c_api import tensorflow_library  # noqa: E402
from expman.serving.grpc_api.event_calls import EventCall, EventMethods  # noqa: E402
from expman.serving.inference.inference import Inference  # noqa: E402
from expman.serving.models.model_config import ModelConfig  # noqa: E402
from expman.serving.models.model_store import ModelStore  # noqa: E402
from expman.wire.protos import predict_pb2  # noqa: E402

_TRANSPORTS = ("pool", "loop", "loop_and_pool", "events", "events_and_pool")
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Answer = Callable[[Any, Any], bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("base_path", type=Path)
    parser.add_argument("--transport", choices=_TRANSPORTS, default="pool")
    parser.add_argument("--threads", type=int, default=8, help="of the pool")
    parser.add_argument("--noop", type=Path, help="answer with this file instead of a model")
    parser.add_argument("--grpc_parses", action="store_true", help="gRPC makes messages of bytes, not the handler")
    parser.add_argument("--holds_gil", action="store_true", help="keep the GIL while the model computes")
    parser.add_argument("--switch_interval", type=float, help="seconds after which a thread must give up the GIL")
    parser.add_argument("--freezes_gc", action="store_true", help="leave what the start has made out of garbage collection")
    parser.add_argument("--intra_op_threads", type=int, default=0)
    options = parser.parse_args()
    if options.switch_interval:
        sys.setswitchinterval(options.switch_interval)
    if options.holds_gil:
        _hold_gil_during_runs()
    answer = _noop(options.noop) if options.noop else _predict(options.base_path, options.intra_op_threads)
    if options.freezes_gc:
        gc.collect()
        gc.freeze()
    transports = {"pool": _in_pool, "loop": _in_loop, "loop_and_pool": _in_loop_and_pool, "events": _in_events,
                  "events_and_pool": _in_events_and_pool}
    transports[options.transport](answer, options)


def _noop(file: Path) -> Answer:
    answer = file.read_bytes()
    return lambda request, context: answer


def _predict(base_path: Path, intra_op_threads: int) -> Answer:
    store = ModelStore(load=lambda folder, config: SavedModelPredictor(
        folder, options=SessionOptions(intra_op_threads=intra_op_threads)))
    store.start([ModelConfig(name="m", base_path=base_path)])
    inference = Inference(store)

    def answer(request: bytes | predict_pb2.PredictRequest, context: Any) -> bytes:
        if isinstance(request, bytes):
            request = predict_pb2.PredictRequest.FromString(request)
        return inference.predict(request, timeout_seconds=context.time_remaining()).SerializeToString()

    return answer


def _hold_gil_during_runs() -> None:
    library = tensorflow_library()
    released = library.TF_SessionRun
    held = ctypes.PyDLL(library._name, handle=library._handle).TF_SessionRun
    held.restype, held.argtypes = released.restype, released.argtypes
    library.TF_SessionRun = held


def _handler(method: Any, options: argparse.Namespace) -> grpc.GenericRpcHandler:
    parse = predict_pb2.PredictRequest.FromString if options.grpc_parses else None
    return grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {
        "Predict": grpc.unary_unary_rpc_method_handler(method, request_deserializer=parse)})


def _in_pool(answer: Answer, options: argparse.Namespace) -> None:
    """A thread of a pool for each request that runs."""
    server = grpc.server(ThreadPoolExecutor(options.threads), options=_OPTIONS)
    server.add_generic_rpc_handlers([_handler(answer, options)])
    _serve(server, options)


def _in_events(answer: Answer, options: argparse.Namespace) -> None:
    """GRPC's own thread answers: one request at a time."""
    _serve_events(lambda request, call: call.finish(answer(request, call)), options)


def _in_events_and_pool(answer: Answer, options: argparse.Namespace) -> None:
    """GRPC's own thread takes requests, threads of a pool answer them."""
    pool = ThreadPoolExecutor(options.threads)

    def begin(request: bytes, call: EventCall) -> None:
        call.keep()
        pool.submit(lambda: call.finish(answer(request, call)))

    _serve_events(begin, options)


def _serve_events(begin: Callable[[bytes, EventCall], None], options: argparse.Namespace) -> None:
    server = grpc.server(ThreadPoolExecutor(1), options=_OPTIONS)
    _serve(server, options, EventMethods(server, {"/tensorflow.serving.PredictionService/Predict": begin}))


def _serve(server: grpc.Server, options: argparse.Namespace, event_methods: EventMethods | None = None) -> None:
    server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    if event_methods is not None:
        event_methods.start()
    print("ready", flush=True)
    server.wait_for_termination()


def _in_loop(answer: Answer, options: argparse.Namespace) -> None:
    """The event loop answers itself: one request at a time."""
    async def method(request: Any, context: Any) -> bytes:
        return answer(request, context)

    asyncio.run(_serve_in_loop(method, options))


def _in_loop_and_pool(answer: Answer, options: argparse.Namespace) -> None:
    """The event loop takes requests, threads of a pool answer them."""
    pool = ThreadPoolExecutor(options.threads)

    async def method(request: Any, context: Any) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(pool, answer, request, context)

    asyncio.run(_serve_in_loop(method, options))


async def _serve_in_loop(method: Any, options: argparse.Namespace) -> None:
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers([_handler(method, options)])
    server.add_insecure_port(f"127.0.0.1:{options.port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    main()
