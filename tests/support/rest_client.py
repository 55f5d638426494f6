"""A client of the REST API for the tests: Python's own HTTP, one connection a request."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What a server answered; the names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error; checks that there is nothing else."""
        assert self.headers["content-type"] == "application/json"
        (key, message), = self.json().items()
        assert key == "error"
        return message


def rest(port: int, method: str, path: str, body: bytes | str | None = None,
         headers: Mapping[str, str] | None = None) -> Reply:
    """Sends one request to this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body.encode() if isinstance(body, str) else body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def predict(port: int, document: Any, *, path: str = "/v1/models/m:predict", **options: Any) -> Reply:
    """Asks for a prediction; NaN and Infinity are sent bare."""
    return rest(port, "POST", path, json.dumps(document), **options)
