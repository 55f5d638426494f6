"""Says so when it takes long to find out how many batches a dataset has."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

_LOGGER = logging.getLogger(__name__)
_SECONDS_BEFORE_NOTICE = 4.0


def told_while_counting(batches: Iterable[Any], *, described_as: str, why: str) -> Iterator[Any]:
    """Passes batches on, one by one, so that Ctrl-C is obeyed between two of them; tells ever more rarely how many there were.

    Arguments:
        batches: of a dataset that does not know its length.
        described_as: what they are, e.g. 'training data'.
        why: what needs the number, and what makes counting needless.
    """
    start, seconds_before_notice = time.monotonic(), _SECONDS_BEFORE_NOTICE
    for count, batch in enumerate(batches, start=1):
        if time.monotonic() - start >= seconds_before_notice:
            seconds_before_notice *= 2
            _LOGGER.info("The batches of the %s are being counted, %d so far: %s.", described_as, count, why)
        yield batch
