"""An observer that counts with prometheus_client itself, as those of other rooms do; loaded by servers that tests start."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge


class CountingObserver:
    """Counts the rows of Predict's inputs, and tells how many processes it lives in."""

    def __init__(self, _: Any) -> None:
        self._rows = Counter("expman_test_rows", "Rows that were sent.")
        Gauge("expman_test_processes", "Processes that live.", multiprocess_mode="livesum").set(1)

    def observe(self, request: Any) -> None:
        self._rows.inc(sum(len(array) for array in request.inputs.values()))
