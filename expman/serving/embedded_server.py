"""The model server that lives in this process: a store of versions behind a gRPC server, ended by a signal."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from expman.errors import ServingError
from expman.serving.endpoint import available_port, endpoint
from expman.serving.grpc_services import ModelService, PredictionService
from expman.serving.predictor import SavedModelPredictor
from expman.serving.protos import model_service_pb2_grpc, prediction_service_pb2_grpc
from expman.serving.stop_signals import stop_signals
from expman.serving.version_store import VersionStore

_LOGGER = logging.getLogger(__name__)

_DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.2
_CANCELLED_EXIT_CODE = 130  # As shells have it for what Ctrl-C ended.


class EmbeddedServer:
    """Answers TensorFlow Serving's gRPC protocol for one model.

    Arguments:
        store: the model's versions, not started yet.
        address: where to listen, e.g. 127.0.0.1 (this machine only) or 0.0.0.0 (all its addresses).
        port: 0 takes a free one.
        max_message_bytes: the largest request and the largest answer.
    """

    def __init__(self, *, store: VersionStore, address: str, port: int, max_message_bytes: int) -> None:
        self._store = store
        self._address = address
        self._port = port
        # More threads than cores: some wait for the network while others compute.
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=max(8, 2 * (os.cpu_count() or 1)), thread_name_prefix="grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # Otherwise two servers would silently share a port.
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
            ])
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(store), self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(store), self._server)

    def start(self) -> tuple[int, int]:
        """Loads the model, then opens the port, so that whoever can connect gets an answer.

        Returns:
            (version, port): what is served, and where.

        Raises:
            ServingError: the port cannot be had, or no version can be loaded.
        """
        available_port(self._address, self._port)  # Known now, not after a long load.
        version = self._store.start()
        try:
            port = self._server.add_insecure_port(endpoint(self._address, self._port))
        except RuntimeError as error:
            self._store.close()
            available_port(self._address, self._port)  # Names the reason, if another took it during the load.
            raise ServingError(f"cannot listen on {endpoint(self._address, self._port)}: {error}") from error
        self._server.start()
        return version, port

    def stop(self) -> None:
        """Refuses new requests, waits for the running ones, and unloads the model."""
        self.drain()
        self.close()

    def drain(self, *, is_hurried: Callable[[], bool] = lambda: False) -> bool:
        """Refuses new requests and waits for the running ones, up to a minute.

        Not to be interrupted by an exception from a signal handler: gRPC would be left half stopped.

        Arguments:
            is_hurried: asked now and then; once True, the requests that still run are cancelled.

        Returns:
            Whether it has not been hurried.
        """
        is_stopped = self._server.stop(_DRAIN_SECONDS)
        while not is_stopped.wait(_POLL_SECONDS):
            if is_hurried():
                self._server.stop(None)
                return False
        return True

    def close(self) -> None:
        """Unloads the model, after `drain`."""
        self._store.close()


def run_embedded_server(*, base_path: Path, model_name: str, address: str, port: int, on_gpu: bool,
                        max_message_bytes: int) -> int:
    """Serves until SIGINT or SIGTERM; prints one line when ready. Works in the main thread only.

    Returns:
        The exit code: 0 once the running requests are answered; 130 when a second signal cancelled them.

    Raises:
        ServingError: the port cannot be had, or no version can be loaded.
    """
    store = VersionStore(model_name=model_name, base_path=base_path,
                         load=functools.partial(SavedModelPredictor, on_gpu=on_gpu))
    server = EmbeddedServer(store=store, address=address, port=port, max_message_bytes=max_message_bytes)
    with stop_signals() as signals:
        version, bound_port = server.start()
        print(f"serving '{model_name}' version {version} on {endpoint(address, bound_port)} (engine: embedded). "
              "Stop with Ctrl-C.", flush=True)
        signals.wait()
        _LOGGER.info("stopping: no new requests, the running ones are answered")
        has_answered = server.drain(is_hurried=lambda: signals.next(timeout_seconds=0) is not None)
    server.close()
    return 0 if has_answered else _CANCELLED_EXIT_CODE
