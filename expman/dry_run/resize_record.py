"""Which filters the pipeline and Client_IO resize images by: two filters make two pictures of one file."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

PIPELINE, CLIENT = "get_input_pipeline_train_val", "Client_IO"
Filters = frozenset[str]


class ResizeRecord:
    """Remembers, for each of the two sides, by which filters it resized and where it did so first.

    One call may count as several filters: two that give the same picture where it enlarges.
    """

    def __init__(self) -> None:
        self._places: dict[str, dict[Filters, str | None]] = {PIPELINE: {}, CLIENT: {}}
        self._side: str | None = None

    @contextlib.contextmanager
    def by(self, side: str) -> Iterator[None]:
        """Has this side do what any thread resizes while the block lasts."""
        before, self._side = self._side, side
        try:
            yield
        finally:
            self._side = before

    def recorded_client(self, client_io_class: Any) -> Any:
        """The user's `Client_IO`, whose making and `getInputData` count as the client's side."""
        if not isinstance(client_io_class, type):
            return client_io_class  # refused elsewhere
        methods = {name: self._recorded(getattr(client_io_class, name)) for name in ("__init__", "getInputData")
                   if getattr(client_io_class, name, object.__init__) is not object.__init__}
        return type(client_io_class.__name__, (client_io_class,), methods)

    def is_new(self, filters: Filters) -> bool:
        """Returns whether this side resizes, and has not done so by these filters before."""
        return self._side is not None and filters not in self._places[self._side]

    def add(self, filters: Filters, place: str | None) -> None:
        """Notes a call that `is_new`.

        Arguments:
            filters: those that give the picture which was made.
            place: `file:line` of the user's code, if there is any.
        """
        self._places[self._side].setdefault(filters, place)

    def places(self, side: str) -> dict[Filters, str | None]:
        """For what this side resized by, where it did first."""
        return dict(self._places[side])

    def unmatched(self) -> bool:
        """Returns whether both sides resize and one of them does so by a filter that the other does not use."""
        of_pipeline, of_client = self._places[PIPELINE], self._places[CLIENT]
        return bool(of_pipeline and of_client) and not (_all_met(of_pipeline, of_client) and _all_met(of_client, of_pipeline))

    def _recorded(self, method: Any) -> Any:
        @functools.wraps(method)
        def recorded(*arguments: Any, **named: Any) -> Any:
            with self.by(CLIENT):
                return method(*arguments, **named)

        return recorded


def _all_met(one: dict[Filters, str | None], other: dict[Filters, str | None]) -> bool:
    return all(any(filters & others for others in other) for filters in one)
