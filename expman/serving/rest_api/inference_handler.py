"""Answers requests to run a model: in the event loop what takes less time there than handing it over to a thread."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress

from aiohttp import hdrs, web

from expman.serving.batching.batch_queue import time_is_over
from expman.serving.inference.predict_result import PredictResult
from expman.serving.observers.observed_request import Observed
from expman.serving.rest_api.json_api import JsonApi
from expman.serving.rest_api.json_predict import JsonPredict, Outputs, are_written_at_once
from expman.serving.rest_api.paths import PREDICT, ModelPath
from expman.serving.rest_api.request_bodies import accepts_gzip, decoded_body, gzipped
from expman.wire.status import Code, StatusError

# Larger bodies are not read in the event loop, where all others would wait for it: this much takes a tenth of a millisecond
# as a list of floats, and two milliseconds as lists that are nested as deeply as can be.
_SMALL_BODY_BYTES = 2**15
# Smaller answers fit into one packet as they are.
_SMALLEST_COMPRESSED_BYTES = 1400
# How long a client may be gone before its request leaves the batch that it waits in.
_POLL_SECONDS = 0.1

_Answer = tuple[bytes, bool]


class InferenceHandler:
    """Answers the body of a request with that of a response.

    A run that will be quick is done by the event loop itself; one that waits for others to share it holds no thread; all
    others are the workers'.

    Arguments:
        api: what answers.
        workers: threads that run models.
        timeout_seconds: how long a request may take; None: as long as it takes.
        max_body_bytes: the largest body, decompressed.
    """

    def __init__(self, *, api: JsonApi, workers: Executor, timeout_seconds: float | None, max_body_bytes: int) -> None:
        self._api = api
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes

    async def answer(self, model: ModelPath, body: bytes, headers: Mapping[str, str], *,
                     is_wanted: Callable[[], bool]) -> _Answer:
        """Answers a request.

        Arguments:
            model: what it asks for.
            headers: those of the request.
            is_wanted: False once the client has gone.

        Returns:
            The answer, and whether it is compressed.

        Raises:
            StatusError: it cannot be answered.
            web.HTTPException: its body is not what the headers say.
        """
        started = time.monotonic()
        deadline = None if self._timeout_seconds is None else started + self._timeout_seconds
        with _ended(self._api.observed(model)) as observed:
            if model.action == PREDICT and len(body) <= _SMALL_BODY_BYTES and hdrs.CONTENT_ENCODING not in headers:
                prepared = self._api.prepare_predict(model, body, observed=observed)
                if prepared is not None:
                    return await self._answer_prepared(prepared, headers, deadline, is_wanted)
            return await _in_loop(self._workers.submit(self._computed, model, body, headers, deadline, observed))

    async def _answer_prepared(self, prepared: JsonPredict, headers: Mapping[str, str], deadline: float | None,
                               is_wanted: Callable[[], bool]) -> _Answer:
        if prepared.is_joined:
            outputs = await _joined(prepared, deadline, is_wanted)
        elif prepared.is_quick:
            outputs = _run(prepared, deadline)
        else:
            return await _in_loop(self._submit(prepared, headers, deadline))
        if are_written_at_once(outputs):
            return _written(prepared, outputs, headers)
        return await _in_loop(self._workers.submit(_written, prepared, outputs, headers))

    def _submit(self, prepared: JsonPredict, headers: Mapping[str, str], deadline: float | None) -> Future[_Answer]:
        """Has a worker run it."""
        try:
            job = self._workers.submit(lambda: _written(prepared, _run(prepared, deadline), headers))
        except BaseException:
            prepared.release()
            raise
        # At the end of the server, jobs that still wait are dropped.
        job.add_done_callback(lambda job: prepared.release() if job.cancelled() else None)
        return job

    def _computed(self, model: ModelPath, body: bytes, headers: Mapping[str, str], deadline: float | None, observed: Observed
                  ) -> _Answer:
        """Does it all, in a worker's thread."""
        body = decoded_body(body, encoding=headers.get(hdrs.CONTENT_ENCODING, ""), max_bytes=self._max_body_bytes)
        method = {"predict": self._api.predict, "classify": self._api.classify, "regress": self._api.regress}[model.action]
        return _compressed_if_wanted(method(model, body, timeout_seconds=_seconds_left(deadline), observed=observed),
                                     headers)


@contextmanager
def _ended(observed: Observed) -> Iterator[Observed]:
    """Tells how a request ends, whatever becomes of it."""
    try:
        yield observed
    except StatusError as error:
        observed.end(error.code, error.message)
        raise
    except web.HTTPException as error:
        observed.end(Code.INVALID_ARGUMENT, error.text or error.reason)
        raise
    except asyncio.CancelledError:
        observed.end(Code.CANCELLED, "The request was dropped.")
        raise
    except BaseException as error:
        observed.end(Code.INTERNAL, f"{type(error).__name__}: {error}")
        raise
    observed.end(Code.OK)


async def _in_loop(job: Future[_Answer]) -> _Answer:
    return await asyncio.wrap_future(job)


def _run(prepared: JsonPredict, deadline: float | None) -> Outputs:
    try:
        return prepared.run(timeout_seconds=_seconds_left(deadline))
    finally:
        prepared.release()


async def _joined(prepared: JsonPredict, deadline: float | None, is_wanted: Callable[[], bool]) -> Outputs:
    """Lets a request wait for others to share a run with.

    Raises:
        StatusError: what became of it; DEADLINE_EXCEEDED or CANCELLED, it was withdrawn.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Outputs] = loop.create_future()

    def done(answer: PredictResult | None, error: Exception | None) -> None:
        prepared.release()
        with suppress(RuntimeError):  # The loop has ended, and with it whoever waited.
            loop.call_soon_threadsafe(_resolve, outcome, answer, error)

    try:
        withdraw = prepared.submit(timeout_seconds=_seconds_left(deadline), on_done=done)
    except BaseException:
        prepared.release()
        raise
    try:
        return await _awaited(outcome, deadline, is_wanted)
    finally:
        if outcome.cancel() and withdraw():
            prepared.release()


def _resolve(outcome: asyncio.Future[Outputs], answer: PredictResult | None, error: Exception | None) -> None:
    if outcome.done():
        return
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(answer.outputs)


async def _awaited(outcome: asyncio.Future[Outputs], deadline: float | None, is_wanted: Callable[[], bool]) -> Outputs:
    while True:
        # aiohttp tells nobody that a client has gone: it has to be asked.
        seconds_left = math.inf if deadline is None else _seconds_left(deadline)
        await asyncio.wait([outcome], timeout=min(seconds_left, _POLL_SECONDS))
        if outcome.done():
            return outcome.result()
        if not is_wanted():
            raise StatusError(Code.CANCELLED, "The client has gone.")
        if seconds_left <= _POLL_SECONDS:
            raise time_is_over()


def _written(prepared: JsonPredict, outputs: Outputs, headers: Mapping[str, str]) -> _Answer:
    return _compressed_if_wanted(prepared.written(outputs), headers)


def _compressed_if_wanted(answer: bytes, headers: Mapping[str, str]) -> _Answer:
    if len(answer) < _SMALLEST_COMPRESSED_BYTES or not accepts_gzip(headers.get(hdrs.ACCEPT_ENCODING, "")):
        return answer, False
    return gzipped(answer), True


def _seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()
