"""One request to run a model, as observers see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from expman.wire.status import Code

if TYPE_CHECKING:
    import numpy as np
    from google.protobuf.message import Message

DEFAULT_SIGNATURE_NAME = "serving_default"

_NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


class ObservedRequest:
    """Collects what becomes known of a request on its way, and tells it once at its end.

    Everything is handed on as it is: nothing is copied and nothing is decoded for it. Observers must not change it, and may keep
    it, which keeps the request's memory.

    Arguments:
        tell: is given this object at the end.
        method: `Predict`, `Classify`, `Regress` or `MultiInference`.
        entrypoint: the protocol, `GRPC` or `REST`.
        model: as the client named it; '' while it is unknown.

    Attributes:
        method, entrypoint, model: the arguments.
        started_at: when the request had come in, in seconds since 1970.
        seconds: from then to the answer.
        version: the version that was chosen; None where the request ended before.
        request: the message as it came; None for Predict over REST, which has none.
        outputs: Predict's, alias -> array; empty without an answer.
        response: the message that Classify, Regress and MultiInference answer; None without an answer.
        code, message: how the request ended; `Code.OK` and '' when it was answered.
    """

    version: int | None = None
    request: Message | None = None
    response: Message | None = None
    outputs: Mapping[str, np.ndarray] = _NOTHING
    code: Code = Code.UNKNOWN
    message: str = ""
    seconds: float = 0.0

    _has_ended = False
    _signature_name: str | None = None
    _feeds: Mapping[str, np.ndarray] = _NOTHING
    _tensor_names: Mapping[str, str] = MappingProxyType({})

    def __init__(self, tell: Callable[[ObservedRequest], None], *, method: str, entrypoint: str, model: str = "") -> None:
        self.method, self.entrypoint, self.model = method, entrypoint, model
        self._tell = tell
        self.started_at = time.time()
        self._started = time.perf_counter()

    @property
    def signature_name(self) -> str | None:
        """The signature that was asked for; None for MultiInference, whose tasks name one each, and where it is unknown."""
        return None if self._signature_name is None else self._signature_name or DEFAULT_SIGNATURE_NAME

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Predict's inputs, alias -> the array that the model is fed with; empty where the request failed before."""
        return {alias: self._feeds[tensor] for alias, tensor in self._tensor_names.items()}

    def note_request(self, *, model: str, signature_name: str | None = None, request: Message | None = None) -> None:
        """Tells what is asked for."""
        self.model, self._signature_name, self.request = model, signature_name, request

    def note_version(self, number: int) -> None:
        """Tells which version is to answer."""
        self.version = number

    def note_inputs(self, feeds: Mapping[str, np.ndarray], tensor_names: Mapping[str, str]) -> None:
        """Tells what the model is fed with.

        Arguments:
            feeds: tensor name -> array.
            tensor_names: alias -> tensor name, of the inputs that the request brought.
        """
        self._feeds, self._tensor_names = feeds, tensor_names

    def note_outputs(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Tells what Predict answers; without effect when the request has ended, since nobody waited so long."""
        if not self._has_ended:
            self.outputs = outputs

    def note_response(self, response: Message) -> None:
        """Tells what any other method answers."""
        if not self._has_ended:
            self.response = response

    def end(self, code: Code, message: str = "") -> None:
        """Ends the request; only the first end counts."""
        if not self._has_ended:
            self._has_ended = True
            self.seconds = time.perf_counter() - self._started
            self.code, self.message = code, message
            self._tell(self)


class NotObserved:
    """Takes the same notes where nobody observes, and does nothing with them."""

    def note_request(self, *, model: str, signature_name: str | None = None, request: Message | None = None) -> None:
        """Does nothing."""

    def note_version(self, number: int) -> None:
        """Does nothing."""

    def note_inputs(self, feeds: Mapping[str, np.ndarray], tensor_names: Mapping[str, str]) -> None:
        """Does nothing."""

    def note_outputs(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Does nothing."""

    def note_response(self, response: Message) -> None:
        """Does nothing."""

    def end(self, code: Code, message: str = "") -> None:
        """Does nothing."""


NOT_OBSERVED = NotObserved()
Observed = ObservedRequest | NotObserved
