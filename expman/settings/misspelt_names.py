"""Finds names of a user's file that look like a declared one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_CLOSE_NAME = 0.8


def misspelt_names(namespace: Mapping[str, Any], lines: Iterable[str], *, known: set[str]) -> dict[str, str]:
    """Returns the names of a file that look like a declared one which it does not define → that one.

    Arguments:
        namespace: the names that the file defines.
        lines: those that it binds itself.
        known: the declared names.
    """
    absent = {name.lower(): name for name in known - namespace.keys()}
    misspelt = {}
    for candidate in lines:
        if candidate in known or candidate.startswith("_"):
            continue
        # A constant of the user's own is in capitals: only a known name in capitals is meant to be that name.
        cutoff = 1.0 if candidate.isupper() else _CLOSE_NAME
        close = difflib.get_close_matches(candidate.lower(), absent, n=1, cutoff=cutoff)
        if close:
            misspelt[candidate] = absent[close[0]]
    return misspelt
