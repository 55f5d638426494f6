"""What TensorFlow itself reports when it cannot load or run a model, whichever way it is called."""

from __future__ import annotations

INVALID_ARGUMENT_CODE = 3
NOT_FOUND_CODE = 5


class TensorFlowError(Exception):
    """A status of TensorFlow that is not OK.

    Attributes:
        code: its number, the same as gRPC's.
        message: TensorFlow's own words.
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)
