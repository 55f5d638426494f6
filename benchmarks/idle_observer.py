"""An observer that does nothing, for `serving_observers.py`."""

from __future__ import annotations


class IdleObserver:
    """Is told of every request and leaves it at that."""

    def __init__(self, context: object) -> None:
        pass

    def observe(self, request: object) -> None:
        """Does nothing."""
