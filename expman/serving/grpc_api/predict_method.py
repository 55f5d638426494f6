"""Predict, the method that has to be fast: its requests change threads no more often than they must."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from expman.serving.grpc_api.event_calls import EventCall
from expman.serving.grpc_api.exchange import CANCELLED, Exchange
from expman.serving.grpc_api.services import Method, of_models
from expman.serving.inference.inference import PREDICT, Inference
from expman.serving.inference.predict_result import PredictResult
from expman.serving.inference.prepared_predict import PreparedPredict
from expman.wire.protos import predict_pb2
from expman.wire.status import Code, StatusError

# Larger requests are not decoded in gRPC's thread, where all others would wait for it.
_LARGE_BYTES = 65536


@dataclass(frozen=True, kw_only=True)
class _PredictMethod(Method):
    """See `Method`.

    Attributes:
        prepare: decodes a request and holds its version until it is released.
    """

    prepare: Callable[..., PreparedPredict]

    def begin(self, data: bytes, call: EventCall, threads: Executor) -> None:
        """Answers at once what takes less time than handing it over to a thread, and the rest in one of the threads."""
        if len(data) > _LARGE_BYTES:
            call.keep()
            threads.submit(self._answer_large, data, call)
            return
        with self._exchange(call) as exchange:
            prepared = self.prepare(exchange.request(data), observed=exchange.observed)
            if prepared.is_joined():
                call.keep()
                _join(prepared, call, exchange)
            elif prepared.is_quick():
                _run(prepared, call, exchange)
            else:
                call.keep()
                threads.submit(_run, prepared, call, exchange)

    def _answer_large(self, data: bytes, call: EventCall) -> None:
        with self._exchange(call) as exchange:
            prepared = self.prepare(exchange.request(data), observed=exchange.observed)
            (_join if prepared.is_joined() else _run)(prepared, call, exchange)


def _run(prepared: PreparedPredict, call: EventCall, exchange: Exchange) -> None:
    """Runs a request on its own, in this thread."""
    with exchange:
        try:
            exchange.check_is_wanted()
            answer = prepared.run(timeout_seconds=call.time_remaining()).SerializeToString()
        finally:
            prepared.release()
        exchange.finish(answer)


def _join(prepared: PreparedPredict, call: EventCall, exchange: Exchange) -> None:
    """Lets a request wait for others to share a run with; the thread that runs them sends the answer."""
    def done(answer: PredictResult | None, error: Exception | None) -> None:
        prepared.release()
        with exchange:
            if error is not None:
                raise error
            exchange.finish(answer.SerializeToString())

    def cancelled() -> None:
        if withdraw():
            done(None, StatusError(Code.CANCELLED, CANCELLED))

    try:
        withdraw = prepared.submit(timeout_seconds=call.time_remaining(), on_done=done)
    except BaseException:
        prepared.release()
        raise
    call.when_cancelled(cancelled)


def predict_method(inference: Inference) -> Method:
    """Returns Predict, on top of `Inference`."""
    return _PredictMethod(PREDICT, inference.predict, predict_pb2.PredictRequest, prepare=inference.prepare_predict,
                          **of_models(PREDICT, inference))
