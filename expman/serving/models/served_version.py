"""One loaded version of a model, which stays loaded while a request holds it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from expman.runtimes.predictor import Predictor

_LOGGER = logging.getLogger(__name__)


class ServedVersion:
    """A version as `ModelStore.acquire` hands it out; leaving its `with` statement, or `release`, gives the version back.

    Attributes:
        name: the model.
        number: the version.
        predictor: what answers.
        folder: where it was loaded from.
        plans: notes of those who use the version, as long as it is loaded.
    """

    __slots__ = ("_is_closed", "_lock", "_num_requests", "_on_closed", "folder", "name", "number", "plans", "predictor")

    def __init__(self, name: str, number: int, predictor: Predictor, *, folder: Path) -> None:
        self.name = name
        self.number = number
        self.predictor = predictor
        self.folder = folder
        self.plans: dict[Hashable, Any] = {}
        self._lock = threading.Lock()  # Guards what follows; held for a count only.
        self._num_requests = 0
        self._on_closed: Callable[[ServedVersion], None] | None = None
        self._is_closed = False

    def hold(self) -> bool:
        """Counts one more request; False when the version is gone, and another has taken its place."""
        with self._lock:
            if self._is_closed:
                return False
            self._num_requests += 1
        return True

    def __enter__(self) -> ServedVersion:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Gives the version back: once for each time that it was handed out."""
        with self._lock:
            self._num_requests -= 1
            is_last = self._closes_now()
        if is_last:
            # Not in the request's own thread: its answer would wait until the model's memory is given back.
            threading.Thread(target=self._close, name=f"unload-{self.name}-{self.number}").start()

    def retire(self, on_closed: Callable[[ServedVersion], None]) -> None:
        """Closes the predictor once the last request has left: in this call when there is none.

        To be called once, when `acquire` can no longer find the version.

        Arguments:
            on_closed: called after that.
        """
        with self._lock:
            self._on_closed = on_closed
            is_idle = self._closes_now()
        if is_idle:
            self._close()

    def _closes_now(self) -> bool:
        self._is_closed = self._on_closed is not None and self._num_requests == 0
        return self._is_closed

    def _close(self) -> None:
        try:
            self.predictor.close()
        except Exception:
            # A boundary: whatever a model does at its end, the others go on.
            _LOGGER.exception("'%s' version %d could not be closed; its memory may not be given back", self.name, self.number)
        self._on_closed(self)
