"""gRPC's health checking service, on bytes as the other services are."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2


def health_handler(servicer: health.HealthServicer) -> grpc.GenericRpcHandler:
    """Returns the methods of grpc.health.v1.Health; see `Method` for why they take bytes."""
    def check(data: bytes, context: grpc.ServicerContext) -> bytes:
        return servicer.Check(_parsed(data, context), context).SerializeToString()

    def watch(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for response in servicer.Watch(_parsed(data, context), context):
            yield response.SerializeToString()

    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
        "Check": grpc.unary_unary_rpc_method_handler(check), "Watch": grpc.unary_stream_rpc_method_handler(watch)})


def _parsed(data: bytes, context: grpc.ServicerContext) -> health_pb2.HealthCheckRequest:
    try:
        return health_pb2.HealthCheckRequest.FromString(data)
    except DecodeError as error:
        context.abort(grpc.StatusCode.INTERNAL, f"the request is no grpc.health.v1.HealthCheckRequest: {error}")
