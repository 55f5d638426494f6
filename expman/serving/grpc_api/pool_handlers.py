"""The methods as handlers of grpcio's public interface, where there is no `EventMethods`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc

from expman.serving.grpc_api.services import Method
from expman.wire.status import Code

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _ContextCall:
    """A call in a thread of the pool; see `Call`."""

    __slots__ = ("_context", "answer", "is_active", "status", "time_remaining")

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.time_remaining = context.time_remaining
        self.is_active = context.is_active
        self.answer: bytes | None = None
        self.status: tuple[Code, str] | None = None

    def finish(self, answer: bytes) -> None:
        self.answer = answer

    def fail(self, code: Code, message: str) -> None:
        self.status = code, message


def pool_handlers(methods: Mapping[str, Method]) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers for `grpc.Server.add_generic_rpc_handlers`.

    Arguments:
        methods: path, as `/package.Service/Method` -> method.
    """
    handlers = []
    for path, method in methods.items():
        _, service, name = path.split("/")
        handlers.append(grpc.method_handlers_generic_handler(service, {
            name: grpc.unary_unary_rpc_method_handler(_answering(method))}))
    return handlers


def _answering(method: Method) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
        call = _ContextCall(context)
        method.answer(data, call)
        if call.status is not None:
            code, message = call.status
            context.abort(_GRPC_CODES[int(code)], message)
        return call.answer

    return answer
