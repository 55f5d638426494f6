"""An observer for the tests that keeps what it is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

from expman.serving.observers.observed_request import ObservedRequest
from expman.wire.status import Code


class NotedRequests:
    """Keeps all requests that have ended, in their order; itself the factory for `ServerOptions.observers`."""

    def __init__(self) -> None:
        self.requests: list[ObservedRequest] = []
        self.context: Any = None
        self.is_closed = False

    def __call__(self, context: Any) -> NotedRequests:
        self.context = context
        return self

    def observe(self, request: ObservedRequest) -> None:
        self.requests.append(request)

    def close(self) -> None:
        self.is_closed = True

    def num_by_code(self) -> dict[str, int]:
        """Name of a code -> how many requests ended so."""
        return dict(Counter(Code(request.code).name for request in self.requests))
