"""The HTTP application: which path leads to which answer, and what HTTP itself adds to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from aiohttp import hdrs, web

from expman.serving.models.model_store import ModelStore
from expman.serving.observers.observers import Page
from expman.serving.rest_api.inference_handler import InferenceHandler
from expman.serving.rest_api.json_answers import error_answer
from expman.serving.rest_api.json_api import JsonApi
from expman.serving.rest_api.paths import METADATA, READY, STATUS, ModelPath, parse_model_path
from expman.serving.rest_api.request_bodies import patience_seconds, read_body
from expman.wire.status import Code, StatusError

_LOGGER = logging.getLogger(__name__)

_LIVENESS_PATH, _READINESS_PATH = "/v1/health/live", "/v1/health/ready"
_API_PREFIX = "/v1/"

_CLIENT_CLOSED_REQUEST = 499
_HTTP_STATUS = {
    Code.OK: 200, Code.CANCELLED: _CLIENT_CLOSED_REQUEST, Code.INVALID_ARGUMENT: 400, Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404, Code.ALREADY_EXISTS: 409, Code.PERMISSION_DENIED: 403, Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400, Code.ABORTED: 409, Code.OUT_OF_RANGE: 400, Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503, Code.UNAUTHENTICATED: 401,
}  # All others: 500.

_CORS_HEADERS = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST, GET",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Content-Type",
}
_JSON = "application/json"
# So much is taken for sending without a wait when nothing else waits: asyncio's limit is twice as high.
_SMALL_ANSWER_BYTES = 2**15

_Result = TypeVar("_Result")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestApp:
    """Answers HTTP requests.

    Arguments:
        api: answers those about models.
        store: the models; tells whether they can answer.
        workers: runs models.
        reporters: tells about models, also while all workers are busy.
        timeout_seconds: how long a request may take; None: as long as it takes.
        max_body_bytes: the largest body, as sent and decompressed.
        enable_cors: let web pages of other origins use the API.
        pages: path -> what is shown there, beside the API; read at each request.

    Attributes:
        num_requests: those that are being received, computed or sent.
        is_draining: set it before the end: connections are then closed with their next answer.
    """

    def __init__(self, *, api: JsonApi, store: ModelStore, workers: Executor, reporters: Executor,
                 timeout_seconds: float | None, max_body_bytes: int, enable_cors: bool, pages: Mapping[str, Page]) -> None:
        self.num_requests = 0
        self.is_draining = False
        self._api = api
        self._store = store
        self._reporters = reporters
        self._inference_handler = InferenceHandler(api=api, workers=workers, timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes)
        self._max_body_bytes = max_body_bytes
        self._enable_cors = enable_cors
        self._pages = pages

    def application(self) -> web.Application:
        """For aiohttp; every path leads to the same handler, as TensorFlow Serving reads them by rules of its own."""
        application = web.Application(middlewares=[self._respond])
        application.router.add_route(hdrs.METH_ANY, "/{path:.*}", self._handle, expect_handler=self._expect)
        return application

    @web.middleware
    async def _respond(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Sends the answer, so that it is known when that is done."""
        self.num_requests += 1
        try:
            response = await self._response(request, handler)
            if self._enable_cors:
                response.headers.update(_CORS_HEADERS)
            if self.is_draining:
                response.force_close()
            await self._send(request, response)
        finally:
            self.num_requests -= 1
        return response

    async def _response(self, request: web.Request, handler: _Handler) -> web.Response:
        try:
            response = await handler(request)
        except StatusError as error:
            response = _json_response(_HTTP_STATUS.get(error.code, 500), error_answer(error.message))
        except web.HTTPException as error:
            response = _json_response(error.status, error_answer(error.text or error.reason))
        except ConnectionError:
            response = _json_response(_CLIENT_CLOSED_REQUEST, b"")
        except Exception as error:
            # The boundary of the process towards its clients: one request's bug must not take the server down.
            _LOGGER.exception("%s %s failed", request.method, request.path)
            response = _json_response(500, error_answer(
                f"the request failed on the server, whose log has the details: {type(error).__name__}: {error}"))
        if not request.content.is_eof():
            response.force_close()  # What is left of the body must not be taken for the next request.
        return response

    async def _send(self, request: web.Request, response: web.Response) -> None:
        num_bytes = len(response.body or b"")
        is_sent_at_once = num_bytes <= _SMALL_ANSWER_BYTES and request.transport is not None \
            and not request.transport.get_write_buffer_size()
        try:
            async with asyncio.timeout(None if is_sent_at_once else patience_seconds(num_bytes)):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # Whoever has gone needs no answer.

    async def _expect(self, request: web.Request) -> None:
        """Answers `Expect: 100-continue`: a body that would be refused need not be sent."""
        if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
            raise web.HTTPExpectationFailed(text=f"Expect must be 100-continue. Got '{request.headers[hdrs.EXPECT]}'.")
        if (request.content_length or 0) <= self._max_body_bytes:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # Nothing of the answer has been sent yet.

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path_qs
        place = path.partition("?")[0]
        if request.method == hdrs.METH_OPTIONS and self._enable_cors:
            return _json_response(200, b"")
        if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
            if place == _LIVENESS_PATH:
                return _json_response(200, b'{"live": true}')
            if place == _READINESS_PATH:
                return _readiness(await self._in_reporter(self._is_ready))
            if (page := self._pages.get(place)) is not None:
                content_type, content = await self._in_reporter(page)
                return web.Response(body=content, headers={hdrs.CONTENT_TYPE: content_type})
        if not path.lower().startswith(_API_PREFIX):
            raise web.HTTPNotFound(text=f"Not found: {request.method} {path}")
        model = parse_model_path(request.method, path)
        if model.action == READY:
            return _readiness(await self._in_reporter(self._is_model_ready, model))
        if model.action in (STATUS, METADATA):
            tell = self._api.status if model.action == STATUS else self._api.metadata
            return _json_response(200, await self._in_reporter(tell, model))
        return await self._infer(request, model)

    async def _in_reporter(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._reporters, function, *arguments)

    def _is_ready(self) -> bool:
        return not self.is_draining and all(self._store.available_versions().values())

    def _is_model_ready(self, model: ModelPath) -> bool:
        try:
            with self._store.acquire(model.name, version=model.version, label=model.label):
                return not self.is_draining
        except StatusError:
            # What the store has never heard of is another error than what it cannot serve now.
            self._store.statuses(model.name, version=model.version, label=model.label)
            return False

    async def _infer(self, request: web.Request, model: ModelPath) -> web.Response:
        body = await read_body(request, max_bytes=self._max_body_bytes)
        answer, is_compressed = await self._inference_handler.answer(
            model, body, request.headers, is_wanted=lambda: request.transport is not None)
        response = _json_response(200, answer)
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
        if is_compressed:
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        return response


def _json_response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=_JSON)


def _readiness(is_ready: bool) -> web.Response:
    return _json_response(200 if is_ready else 503, b'{"ready": true}' if is_ready else b'{"ready": false}')
