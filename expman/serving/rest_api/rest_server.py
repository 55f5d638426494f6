"""Listens for HTTP in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web
from aiohttp.http import HttpProcessingError

from expman.errors import ServingError
from expman.serving.endpoint import available_port, endpoint
from expman.serving.inference.inference import Inference
from expman.serving.models.model_store import ModelStore
from expman.serving.observers.observers import Page
from expman.serving.rest_api.json_api import JsonApi
from expman.serving.rest_api.rest_app import RestApp

_BACKLOG = 1024
_DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.02
# Time for requests that are on their way when the server stops listening.
_GRACE_SECONDS = 0.3
_FLUSH_SECONDS = 5.0
_FORCED_SECONDS = 0.1  # For the cancellation of what has not ended by then; 0 would mean without end.
# How long to go on receiving a body that is refused, as a client may read the answer only when it has sent all.
_LINGER_SECONDS = 2.0
# A connection on which no request comes, or whose headers are not complete by then, is closed.
_IDLE_SECONDS = 75.0


class RestServer:
    """Answers TensorFlow Serving's REST API from the start to the draining.

    Arguments:
        inference: what computes.
        store: the same models.
        address: where to listen, e.g. 127.0.0.1 (this machine only) or 0.0.0.0 (all its addresses).
        port: 0 takes a free one.
        timeout_seconds: how long a request may take once it is received, its time in the queue included; None: as long as
            it takes.
        max_body_bytes: the largest body, as sent and decompressed.
        num_threads: requests that are computed at the same time; others wait. None: four a core.
        enable_cors: let web pages of other origins use the API.
        pages: see `RestApp`.
        shares_port: other processes may listen on the same port.
        idle_seconds: how long a connection may wait for the next request, and its headers to be complete.

    Example:
        server = RestServer(inference=inference, store=store, address="127.0.0.1", port=8501)
        server.start()
        ...
        server.drain()
    """

    def __init__(self, *, inference: Inference, store: ModelStore, address: str, port: int,
                 timeout_seconds: float | None = 30.0, max_body_bytes: int = 2**30, num_threads: int | None = None,
                 enable_cors: bool = False, pages: Mapping[str, Page] | None = None, shares_port: bool = False,
                 idle_seconds: float = _IDLE_SECONDS) -> None:
        self._address = address
        self._port = port
        self._shares_port = shares_port
        self._idle_seconds = idle_seconds
        self._workers = ThreadPoolExecutor(num_threads or 4 * (os.cpu_count() or 1), thread_name_prefix="rest")
        self._reporters = ThreadPoolExecutor(1, thread_name_prefix="rest-status")
        self._app = RestApp(api=JsonApi(inference), store=store, workers=self._workers, reporters=self._reporters,
                            timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes, enable_cors=enable_cors,
                            pages={} if pages is None else pages)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_forced = False

    def check_port(self) -> None:
        """Raises ServingError when the port cannot be had: known now, not after a long load."""
        if not self._shares_port:
            available_port(self._address, self._port)

    def start(self) -> int:
        """Opens the port, and returns it.

        Raises:
            ServingError: it cannot be had.
        """
        self._socket = self._listening_socket()
        is_ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(is_ready)), name="rest-server", daemon=True)
        self._thread.start()
        is_ready.result()
        return self._socket.getsockname()[1]

    def refuse(self) -> None:
        """Closes the port; connections that are open then are answered on until `drain` ends."""
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._stop_listening(), self._loop).result()

    def drain(self, *, force: Callable[[], bool] = lambda: False) -> bool:
        """Closes the port, answers the requests that were accepted, up to a minute, and ends.

        Arguments:
            force: asked now and then; once True, the requests that still run are dropped.

        Returns:
            False when it was forced.
        """
        if self._thread is not None:
            self.refuse()
            self._loop.call_soon_threadsafe(self._may_end.set)
            while self._thread.is_alive():
                self._is_forced = self._is_forced or force()
                self._thread.join(_POLL_SECONDS)
            self._thread = None
        for executor in (self._workers, self._reporters):
            executor.shutdown(wait=False, cancel_futures=True)
        return not self._is_forced

    def _listening_socket(self) -> socket.socket:
        self.check_port()
        listener = None
        try:
            family, kind, protocol, _, socket_address = socket.getaddrinfo(
                self._address, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shares_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(socket_address)
            listener.listen(_BACKLOG)
        except OSError as error:
            if listener is not None:
                listener.close()
            available_port(self._address, self._port)  # Names the reason.
            raise ServingError(f"cannot listen on {endpoint(self._address, self._port)}: {error}") from error
        listener.setblocking(False)
        return listener

    async def _serve(self, is_ready: concurrent.futures.Future[None]) -> None:
        try:
            self._loop = asyncio.get_running_loop()
            self._may_end = asyncio.Event()
            self._runner = web.AppRunner(
                self._app.application(), access_log=None, logger=_http_logger(), auto_decompress=False,
                keepalive_timeout=self._idle_seconds, lingering_time=_LINGER_SECONDS, shutdown_timeout=_FORCED_SECONDS)
            await self._runner.setup()
            self._site: web.SockSite | None = web.SockSite(self._runner, self._socket, backlog=_BACKLOG)
            await self._site.start()
        except BaseException as error:
            is_ready.set_exception(error)
            return
        is_ready.set_result(None)
        await self._may_end.wait()
        await self._answer_what_is_left()
        await self._runner.cleanup()

    async def _stop_listening(self) -> None:
        if self._site is None:
            return
        self._app.is_draining = True
        site, self._site = self._site, None
        # asyncio would throw out whom it has accepted but not yet given a transport, and the system whom nobody has accepted.
        self._loop.remove_reader(self._socket)
        await asyncio.sleep(_POLL_SECONDS)
        accepted = []
        while connection := _next_connection(self._socket):
            accepted.append(connection)
        await site.stop()
        for connection in accepted:
            await self._loop.connect_accepted_socket(self._runner.server, connection)

    async def _answer_what_is_left(self) -> None:
        """Waits for requests that are on their way, then for those that run, then for what is still to be sent."""
        end = self._loop.time() + _DRAIN_SECONDS
        await self._wait_while(lambda: self._runner.server.connections, until=self._loop.time() + _GRACE_SECONDS)
        await self._wait_while(lambda: self._app.num_requests, until=end)
        await self._wait_while(self._is_sending, until=self._loop.time() + _FLUSH_SECONDS)

    async def _wait_while(self, condition: Callable[[], object], *, until: float) -> None:
        while condition() and not self._is_forced and self._loop.time() < until:
            await asyncio.sleep(_POLL_SECONDS)

    def _is_sending(self) -> bool:
        transports = [connection.transport for connection in self._runner.server.connections]
        return any(transport is not None and transport.get_write_buffer_size() for transport in transports)


def _next_connection(listener: socket.socket) -> socket.socket | None:
    try:
        connection, _ = listener.accept()
    except OSError:  # There is none left.
        return None
    connection.setblocking(False)
    return connection


def _http_logger() -> logging.Logger:
    """For aiohttp, which logs a traceback for each request that is no HTTP."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_own_error)
    return logger


def _is_own_error(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))
