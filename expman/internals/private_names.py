"""Looks for names that a library does not promise to keep, and tells what happens without them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

_LOGGER = logging.getLogger(__name__)


def missing_names(checks: Mapping[str, tuple[Callable[[], bool], str]], *, library: str) -> frozenset[str]:
    """Returns the names that are not there, each told with what is done without it.

    Arguments:
        checks: name → a function that returns whether the name is there and means what it did, and what is done without it.
        library: with its version, for the message.
    """
    missing = set()
    for name, (is_there, instead) in checks.items():
        if not _holds(is_there):
            missing.add(name)
            _LOGGER.warning("%s has no %s as this project knows it: %s", library, name, instead)
    return frozenset(missing)


def _holds(is_there: Callable[[], bool]) -> bool:
    try:
        return is_there()
    except (ImportError, AttributeError):
        return False
