"""Tests on several workers of pytest-xdist: what stays together, what goes first, what runs alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

LONG = 1000  # a slow test counts as this many others


def group_and_order(items: list[pytest.Item]) -> None:
    """Sorts tests for `--dist loadgroup`: the tests of a file stay on one worker, longest file first.

    A file's fixtures are then made once. In a file marked `spread`, which shares none that matters, each test is its own group.
    Files of the same `xdist_group` are one group: no two of them run at the same time.
    """
    weights: Counter[str] = Counter()
    for item in items:
        named = item.get_closest_marker("xdist_group")
        group = named.args[0] if named else item.nodeid if item.get_closest_marker("spread") else str(item.path)
        if not named:
            item.add_marker(pytest.mark.xdist_group(group.replace("@", " ")))
        item.stash[_GROUP] = group
        weights[group] += LONG if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: (-weights[item.stash[_GROUP]], item.stash[_GROUP]))


@contextlib.contextmanager
def taking_turns(item: pytest.Item) -> Iterator[None]:
    """Lets a test that is marked `alone` run when no other worker runs a test.

    All tests hold one lock, shared by those that may run together. Before that each passes a gate, where a test that must be
    alone stays: so those behind it wait until it is done.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    is_alone = item.get_closest_marker("alone") is not None
    here = Path(__file__)  # files of the project that always exist
    with here.open("rb") as running, here.with_name("__init__.py").open("rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


_GROUP = pytest.StashKey[str]()
