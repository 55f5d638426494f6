"""Makes the embedded server the work of this process, until a signal."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from expman.serving.endpoint import endpoint
from expman.serving.memory_allocator import keep_freed_memory
from expman.serving.observers.metrics_folder import shared_metrics_folder
from expman.serving.stop_signals import stop_signals

if TYPE_CHECKING:
    from expman.serving.embedded_server import Endpoints
    from expman.serving.server_options import ServerOptions

_LOGGER = logging.getLogger(__name__)

# gRPC reads it when it is imported. Its older way to accept connections passes a request on to fewer threads on its way, which
# saves a third of the time that gRPC takes for it (grpcio 1.85).
_GRPC_EXPERIMENTS = "-event_engine_listener"
# By default a thread that has long Python work, such as one that loads a model, keeps the others waiting for 5 ms at a time.
_SWITCH_INTERVAL_SECONDS = 0.0005
_CANCELLED_EXIT_CODE = 130  # As shells have it for what Ctrl-C ended.
_LONGEST_END_SECONDS = 75.0  # The minute in which running requests are answered, and some time to unload the models.
_HELD_EXIT_CODE = 1


def run_embedded_server(options: ServerOptions) -> int:
    """Serves until SIGINT or SIGTERM; prints one line when ready. Works in the main thread only.

    Returns:
        The exit code: 0 once the running requests are answered; 130 when a second signal cancelled them; 1 when something held
        a thread for longer than that.

    Raises:
        ServingError: see `EmbeddedServer`.
    """
    # Imported only when that is set.
    os.environ.setdefault("GRPC_EXPERIMENTS", _GRPC_EXPERIMENTS)
    from expman.serving.embedded_server import EmbeddedServer

    keep_freed_memory()
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    with ExitStack() as undo, stop_signals() as signals:
        if options.prometheus_path and options.metrics_folder is None:
            options = dataclasses.replace(options, metrics_folder=undo.enter_context(shared_metrics_folder()))
        server = EmbeddedServer(options)
        endpoints = server.start()
        print(_ready_line(server.served_versions(), endpoints, address=options.address), flush=True)
        signals.wait()
        _LOGGER.info("stopping: no new requests, the running ones are answered")
        _end_at_latest(_LONGEST_END_SECONDS)
        has_answered = server.drain(force=lambda: signals.next(timeout_seconds=0) is not None)
        server.close()
    return 0 if has_answered else _CANCELLED_EXIT_CODE


def _end_at_latest(seconds: float) -> None:
    """Ends the process after so much time, whatever holds its threads: a run that cannot be cancelled, an observer that waits."""
    def end() -> None:
        _LOGGER.error("the server does not end: something still holds its threads %.0f s after it was told to stop; it is ended "
                      "without them", seconds)
        os._exit(_HELD_EXIT_CODE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _ready_line(served: Mapping[str, list[int]], endpoints: Endpoints, *, address: str) -> str:
    models = ", ".join(f"'{name}' version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
                       for name, versions in served.items())
    places = []
    if endpoints.grpc_port is not None:
        places.append(endpoint(address, endpoints.grpc_port))
    if endpoints.grpc_socket_path:
        places.append(f"unix:{endpoints.grpc_socket_path}")
    if endpoints.rest_port is not None:
        places.append(f"http://{endpoint(address, endpoints.rest_port)}")
    return f"serving {models} on {' and '.join(places)} (engine: embedded). Stop with Ctrl-C."
