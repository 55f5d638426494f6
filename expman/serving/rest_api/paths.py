"""Reads which model a path of the REST API names, and what is wanted of it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import unquote

from expman.wire.protos import model_pb2
from expman.wire.status import Code, StatusError

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_METHOD = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<action>classify|regress|predict)", re.IGNORECASE)
_ABOUT = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<action>metadata|ready))?", re.IGNORECASE)

PREDICT, CLASSIFY, REGRESS = "predict", "classify", "regress"
STATUS, METADATA, READY = "status", "metadata", "ready"


@dataclass(frozen=True)
class ModelPath:
    """The meaning of a path.

    Attributes:
        action: one of the constants of this module.
        version, label: the version asked for, by its number or by a label; both None leave it to the server.
    """

    action: str
    name: str
    version: int | None = None
    label: str | None = None

    def fill(self, spec: model_pb2.ModelSpec) -> None:
        """Puts the model and the version into a request's ModelSpec."""
        spec.name = self.name
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label


@functools.lru_cache(maxsize=128)
def parse_model_path(method: str, path: str) -> ModelPath:
    """Reads a path of the API.

    Arguments:
        method: of HTTP.
        path: as it was sent, with its percent signs and all that follows a `?`, which TensorFlow Serving takes for a part
            of it.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no such path for that method.
    """
    match = (_METHOD if method == "POST" else _ABOUT).fullmatch(path) if method in ("GET", "POST") else None
    # Letters of any case are read, as there, but for the last word.
    if match is None or match["action"] not in (None, PREDICT, CLASSIFY, REGRESS, METADATA, READY):
        raise StatusError(Code.INVALID_ARGUMENT, f"Malformed request: {method} {path}")
    if match["name"] is None:
        raise StatusError(Code.INVALID_ARGUMENT, "Missing model name in request.")
    return ModelPath(match["action"] or STATUS, _decoded(match["name"]), _version_number(match["version"]),
                     None if match["label"] is None else _decoded(match["label"]))


def _version_number(digits: str | None) -> int | None:
    if digits is None:
        return None
    if len(digits.lstrip("0")) > 19 or int(digits.lstrip("0") or "0") >= 2**63:
        raise StatusError(Code.INVALID_ARGUMENT, f"Failed to convert version: {digits} to numeric.")
    return int(digits)


def _decoded(text: str) -> str:
    # Bytes that are no UTF-8 make a name that no model has.
    return unquote(text).encode("utf-8", "replace").decode("utf-8")
