"""Tests on several workers of pytest-xdist: what stays together, what goes first, what runs alone.

The marks of tests are known in the workers, what goes to which worker is chosen outside of them by the tests' ids. So files are
named here rather than marked.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.project import ROOT

SPREAD = ("tests/training/first_checks/test_user_contract.py", "tests/training/data/test_sample_stream.py",
          "tests/training/distribution/test_distributed.py")
"""Long files whose tests share no fixture that matters, so that workers may take them one by one."""
OF_RAY = ("tests/test_wheel.py", "tests/sweeps/on_ray/test_ray_sweep.py")
"""Files of which no two run at the same time: each starts clusters of its own."""
_LONG = 1000  # a slow test counts as this many others


class FilesTogether(LoadScopeScheduling):
    """Gives a worker all tests of a file, in the order in which the workers have sorted them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in SPREAD else OF_RAY[0] if file in OF_RAY else file


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Sorts files by their numbers of tests, of which slow ones count most, so that no long file is the last one."""
    missing = [file for file in (*SPREAD, *OF_RAY) if not (ROOT / file).exists()]
    if missing:
        raise pytest.UsageError(f"{Path(__file__).relative_to(ROOT)} names files that do not exist: {', '.join(missing)}. "
                                "Correct their names there.")
    weights: Counter[Path] = Counter()
    for item in items:
        weights[item.path] += _LONG if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: (-weights[item.path], item.path))


@contextlib.contextmanager
def taking_turns(item: pytest.Item) -> Iterator[None]:
    """Lets a test that is marked `alone` run when no other worker runs a test.

    All tests hold one lock, shared by those that may run together. Before that each passes a gate, where a test that must be
    alone stays: so those behind it wait until it is done.
    """
    is_alone = item.get_closest_marker("alone") is not None
    here = Path(__file__)  # files of the project that always exist
    with here.open("rb") as running, here.with_name("__init__.py").open("rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
