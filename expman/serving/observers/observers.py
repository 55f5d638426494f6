"""The observers of a server: told one after the other, and none of them can harm a request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from expman.errors import ServingError
from expman.serving.observers.observed_request import NOT_OBSERVED, Observed, ObservedRequest

_LOGGER = logging.getLogger(__name__)

# Returns a content type and a body.
Page = Callable[[], tuple[str, bytes]]


class Observer(Protocol):
    """Sees every request to run a model: over gRPC and REST, alone or in a batch, answered or failed.

    Beside `observe` it may have `pages()`, which returns path -> `Page` for the REST port to show, and `close()`, which is called
    when the last request has been answered.

    Example:
        class FailureCounter:
            def __init__(self):
                self.num_failures = 0

            def observe(self, request):
                if request.code != 0:
                    self.num_failures += 1
    """

    def observe(self, request: ObservedRequest) -> None:
        """Takes notice of a request that has ended.

        It is called by the thread that is about to send the answer, where others may wait for it, and by several threads at the
        same time: what may take long belongs into a thread of the observer's own, behind a queue of limited length.
        """


class Observers:
    """Tells observers of requests; without any, a request costs no more than the question whether there are some."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._failed: set[int] = set()
        self.pages: dict[str, Page] = {}

    def add(self, observer: Observer) -> None:
        """Tells one more observer of the requests that begin from now on.

        Raises:
            ServingError: another one shows a page at the same path.
        """
        pages: Mapping[str, Page] = getattr(observer, "pages", dict)()
        for path in pages:
            if path in self.pages:
                raise ServingError(f"two observers show a page at {path}. Leave one of them out, or give it another path.")
        self.pages.update(pages)
        self._observers = (*self._observers, observer)

    def begin(self, method: str, *, entrypoint: str, model: str = "") -> Observed:
        """Begins to observe a request; see `ObservedRequest`."""
        if not self._observers:
            return NOT_OBSERVED
        return ObservedRequest(self._tell, method=method, entrypoint=entrypoint, model=model)

    def close(self) -> None:
        """Closes all observers; they are told of nothing more."""
        observers, self._observers = self._observers, ()
        self.pages.clear()
        for observer in observers:
            try:
                getattr(observer, "close", _nothing)()
            except (Exception, SystemExit):
                # A boundary: whatever one observer does at its end, the others are closed, too.
                _LOGGER.exception("the observer %s could not be closed", type(observer).__name__)

    def _tell(self, request: ObservedRequest) -> None:
        for observer in self._observers:
            try:
                observer.observe(request)
            except (Exception, SystemExit):
                # A boundary: the request is answered, whatever an observer makes of it.
                if id(observer) not in self._failed:
                    self._failed.add(id(observer))
                    _LOGGER.exception("the observer %s failed at a request; it is told of the next ones all the same, and its "
                                      "further failures are not logged", type(observer).__name__)


def _nothing() -> None:
    """Does nothing."""
