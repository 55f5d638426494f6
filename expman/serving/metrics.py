"""Counts requests and their times for Prometheus, under the names that TensorFlow Serving uses."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

from expman.wire.status import Code

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"

# Microseconds, as there: from 10 by steps of 1.8 to about 24 minutes.
_BOUNDS = tuple(10 * 1.8**step for step in range(33))

# Clients choose the names of the models that they ask for; beyond so many series all others are counted as one.
_MOST_SERIES = 1000
_OTHER_MODELS = "(others)"


@dataclass
class _Histogram:
    """How long requests took.

    Attributes:
        counts: one for each of `_BOUNDS`, and one for what is above them all.
        microseconds: of all requests together.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    microseconds: float = 0.0


class RequestMetrics:
    """Counters that threads may share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._latencies: dict[tuple[str, str, str], _Histogram] = {}

    def observe(self, method: str, *, model: str, entrypoint: str, code: int, seconds: float) -> None:
        """Notes one answered request; its time too, if it was answered well.

        Arguments:
            method: what was asked for, `Predict` …
            model: as the client named it.
            entrypoint: the protocol, `GRPC` or `REST`.
            code: a `Code`.
        """
        with self._lock:
            count = model, code
            if count in self._counts:
                self._counts[count] += 1
            else:
                self._counts[count if len(self._counts) < _MOST_SERIES else (_OTHER_MODELS, code)] += 1
            if code != Code.OK:
                return
            series = model, method, entrypoint
            histogram = self._latencies.get(series)
            if histogram is None:
                if len(self._latencies) >= _MOST_SERIES:
                    series = _OTHER_MODELS, method, entrypoint
                histogram = self._latencies.setdefault(series, _Histogram())
            histogram.counts[bisect.bisect_left(_BOUNDS, seconds * 1e6)] += 1
            histogram.microseconds += seconds * 1e6

    def page(self) -> str:
        """All of it in Prometheus' text format."""
        lines = [f"# TYPE {_COUNT} counter"]
        with self._lock:
            counts = sorted((model, Code(code).name, count) for (model, code), count in self._counts.items())
            lines += [f"{_COUNT}{{{_labels(model_name=model, status=status)}}} {count}" for model, status, count in counts]
            lines.append(f"# TYPE {_LATENCY} histogram")
            for (model, method, entrypoint), histogram in sorted(self._latencies.items()):
                lines += _histogram_lines(_labels(model_name=model, API=method, entrypoint=entrypoint), histogram)
        return "\n".join(lines) + "\n"


REQUESTS = RequestMetrics()


def observe_request(method: str, *, model: str, entrypoint: str, code: int, seconds: float) -> None:
    """Notes one answered request of this process; see `RequestMetrics.observe`."""
    REQUESTS.observe(method, model=model, entrypoint=entrypoint, code=code, seconds=seconds)


def _histogram_lines(labels: str, histogram: _Histogram) -> list[str]:
    totals = list(accumulate(histogram.counts))
    bounds = [*(f"{bound:g}" for bound in _BOUNDS), "+Inf"]
    return [*(f'{_LATENCY}_bucket{{{labels},le="{bound}"}} {total}' for bound, total in zip(bounds, totals)),
            f"{_LATENCY}_sum{{{labels}}} {histogram.microseconds:.10g}",
            f"{_LATENCY}_count{{{labels}}} {totals[-1]}"]


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
