"""What can be wrong with a request, whatever protocol brought it; each protocol maps these to its own codes."""

from __future__ import annotations


class RequestError(Exception):
    """Base of the faults that lie in a request; the message alone tells the caller what to change."""


class NotFoundError(RequestError):
    """The request names a model, a version or a signature that is not served."""


class InvalidRequestError(RequestError):
    """The request lacks something, or an input or output of it does not fit the signature."""
