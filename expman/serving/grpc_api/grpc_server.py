"""Listens for gRPC on a TCP port, a Unix socket or both."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2

from expman.errors import ServingError
from expman.serving.endpoint import available_port, endpoint
from expman.serving.grpc_api.event_calls import EventMethods
from expman.serving.grpc_api.grpcio_internals import missing_names
from expman.serving.grpc_api.health_handler import health_handler
from expman.serving.grpc_api.pool_handlers import pool_handlers
from expman.serving.grpc_api.predict_method import predict_method
from expman.serving.grpc_api.request_threads import RequestThreads
from expman.serving.grpc_api.services import MODEL_SERVICE, PREDICTION_SERVICE, service_methods
from expman.serving.inference.inference import Inference

_LOGGER = logging.getLogger(__name__)

_DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class GrpcOptions:
    """Options of the gRPC server.

    Attributes:
        address: where to listen, e.g. 127.0.0.1 (this machine only) or 0.0.0.0 (all its addresses).
        port: 0 takes a free one; None: no TCP port.
        socket_path: a Unix socket; '' for none.
        num_threads: requests that are answered at the same time; others wait.
        num_short_threads: of those while requests take little time; None: as `RequestThreads` has it.
        credentials: for TLS; None listens without. The Unix socket is always without.
        arguments: gRPC's own channel arguments, such as `grpc.max_receive_message_length` in bytes.
        shares_port: other processes may listen on the same port.
        has_health_service: answer grpc.health.v1.Health.
    """

    address: str
    port: int | None
    socket_path: str = ""
    num_threads: int = 8
    num_short_threads: int | None = None
    credentials: grpc.ServerCredentials | None = None
    arguments: Mapping[str, int | str] = field(default_factory=dict)
    shares_port: bool = False
    has_health_service: bool = True


class GrpcServer:
    """Answers gRPC from the start to the draining.

    Arguments:
        inference: what answers.
        options: how it listens.
    """

    def __init__(self, inference: Inference, options: GrpcOptions) -> None:
        self._options = options
        arguments = {
            # TensorFlow Serving's defaults, where gRPC's own is 4 MB.
            "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1, **options.arguments,
            "grpc.so_reuseport": int(options.shares_port),  # Otherwise two servers would silently share a port.
        }
        threads = RequestThreads(options.num_threads, few=options.num_short_threads, name="grpc")
        self._server = grpc.server(threads, options=list(arguments.items()))
        methods = service_methods(inference, predict=predict_method(inference))
        self._event_methods: EventMethods | None = None
        if missing := missing_names(self._server):
            _LOGGER.warning("grpcio %s lacks %s: requests pass through its own threads, and small models answer fewer of them a "
                            "second than with the version of requirements.txt", grpc.__version__, ", ".join(missing))
            self._server.add_generic_rpc_handlers(pool_handlers(methods))
        else:
            self._event_methods = EventMethods(self._server, {
                path: functools.partial(method.begin, threads=threads) for path, method in methods.items()})
        self._health = health.HealthServicer()
        if options.has_health_service:
            self._server.add_generic_rpc_handlers([health_handler(self._health)])

    def check_port(self) -> None:
        """Raises ServingError when the port cannot be had: known now, not after a long load."""
        if self._options.port is not None and not self._options.shares_port:
            available_port(self._options.address, self._options.port)

    def start(self) -> int | None:
        """Opens the port and the socket; returns the port.

        Raises:
            ServingError: one of them cannot be had.
        """
        port = None if self._options.port is None else self._open_port()
        if self._options.socket_path:
            try:
                self._server.add_insecure_port(f"unix:{self._options.socket_path}")
            except RuntimeError as error:
                raise ServingError(f"cannot listen on the Unix socket '{self._options.socket_path}': {error}") from error
        for service in ("", PREDICTION_SERVICE, MODEL_SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()
        if self._event_methods is not None:
            self._event_methods.start()
        return port

    def drain(self, *, force: Callable[[], bool] = lambda: False) -> bool:
        """Refuses new requests and waits for the running ones, up to a minute.

        Not to be interrupted by an exception from a signal handler: gRPC would be left half stopped.

        Arguments:
            force: asked now and then; once True, the requests that still run are cancelled.

        Returns:
            False when it was forced.
        """
        self._health.enter_graceful_shutdown()
        is_stopped = self._server.stop(_DRAIN_SECONDS)
        while not is_stopped.wait(_POLL_SECONDS):
            if force():
                self._server.stop(None)
                return False
        return True

    def _open_port(self) -> int:
        options = self._options
        where = endpoint(options.address, options.port)
        try:
            if options.credentials is None:
                return self._server.add_insecure_port(where)
            return self._server.add_secure_port(where, options.credentials)
        except RuntimeError as error:
            available_port(options.address, options.port)  # Names the reason, if another took it during the load.
            raise ServingError(f"cannot listen on {where}: {error}") from error
