"""Counts requests and their times for Prometheus, under the names that TensorFlow Serving uses.

The counters lie in files of prometheus_client's multi-process mode: a scrape reads those of all workers and adds them up, those
of workers that have died among them. The library's own Counter and Histogram take 4 to 8 µs a request in this mode, since they
look at every bucket and go through several locks; writing the same files directly takes under 1 µs
(benchmarks/serving_observers.py).
"""

from __future__ import annotations

import bisect
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from expman.serving.observers.metrics_folder import new_metrics_folder
from expman.serving.observers.observed_request import ObservedRequest
from expman.serving.observers.observers import Page
from expman.wire.status import Code

_COUNT = ":tensorflow:serving:request_count"
# The library ends the names of counters in `_total`; TensorFlow Serving does not.
_COUNT_WITH_TOTAL = re.compile(rb"^(# (?:HELP|TYPE) %s)_total " % _COUNT.encode(), re.MULTILINE)
_COUNT_HELP = "Requests to run a model, by the code of their answer."
_LATENCY = ":tensorflow:serving:request_latency"
_LATENCY_HELP = "Microseconds that answered requests took."

# Microseconds, as there: from 10 by steps of 1.8 to about 24 minutes.
_BOUNDS = tuple(10 * 1.8**step for step in range(33))
_BOUND_LABELS = (*map(repr, _BOUNDS), "+Inf")

# Clients choose the names of the models that they ask for; beyond so many names of models that are not served, and for longer
# ones, all others are counted as one.
_MAX_UNSERVED = 1000
_MAX_NAME_CHARACTERS = 200
_OTHER_MODELS = "(others)"


class RequestMetrics:
    """The observer that counts; its page tells the counters of all workers.

    Arguments:
        path: where the REST port shows the page.
        folder: where the workers' counters lie; None: one of its own, for a server of one process.
        worker_number: which worker this is. One that takes the place of a dead one counts on from where that was.
    """

    def __init__(self, *, path: str, folder: Path | None = None, worker_number: int = 0) -> None:
        self._path = path
        self._owns_folder = folder is None
        self._folder = folder or new_metrics_folder()
        self._counters = _opened(self._folder / f"counter_worker{worker_number}.db")
        self._histograms = _opened(self._folder / f"histogram_worker{worker_number}.db")
        self._lock = threading.Lock()  # Guards what follows, and the files.
        self._num_counts = sum(1 for _ in self._counters.read_all_values())
        self._counts: dict[tuple[str, Code], _Number] = {}
        self._latencies: dict[tuple[str, str, str], _Histogram] = {}

    def observe(self, request: ObservedRequest) -> None:
        """Counts a request; its time too, if it was answered."""
        with self._lock:
            count = self._counts.get((request.model, request.code))
            (count or self._new_count(request)).add(1)
            if request.code == Code.OK:
                histogram = self._latencies.get((request.model, request.method, request.entrypoint))
                (histogram or self._new_histogram(request)).add(request.seconds * 1e6)

    def pages(self) -> dict[str, Page]:
        """Returns the page for Prometheus."""
        return {self._path: self.page}

    def page(self) -> tuple[str, bytes]:
        """Returns content type and text of what all workers have counted."""
        return CONTENT_TYPE_PLAIN_0_0_4, _COUNT_WITH_TOTAL.sub(rb"\1 ", generate_latest(self))

    def collect(self) -> Iterator[Metric]:
        """Returns the sums over all workers, as prometheus_client wants them of a collector."""
        metrics = {metric.name: metric for metric in MultiProcessCollector(None, path=str(self._folder)).collect()}
        yield metrics.pop(_COUNT, None) or CounterMetricFamily(_COUNT, _COUNT_HELP)
        yield _with_short_bounds(metrics.pop(_LATENCY, None) or HistogramMetricFamily(_LATENCY, _LATENCY_HELP))
        yield from metrics.values()

    def close(self) -> None:
        """Closes the files; they are removed if they are this server's alone."""
        with self._lock:
            self._counters.close()
            self._histograms.close()
        if self._owns_folder:
            shutil.rmtree(self._folder)

    def _new_count(self, request: ObservedRequest) -> _Number:
        model, code = request.model, request.code
        if request.version is None and (self._num_counts >= _MAX_UNSERVED or len(model) > _MAX_NAME_CHARACTERS):
            model = _OTHER_MODELS
        number = self._counts.get((model, code))
        if number is None:
            self._num_counts += 1
            key = mmap_key(_COUNT, _COUNT, ["model_name", "status"], [model, Code(code).name], _COUNT_HELP)
            number = self._counts[model, code] = _Number(self._counters, key)
        return number

    def _new_histogram(self, request: ObservedRequest) -> _Histogram:
        # TensorFlow Serving writes REST's methods in small letters.
        method = request.method if request.entrypoint == "GRPC" else request.method.lower()
        histogram = _Histogram(self._histograms, {"model_name": request.model, "API": method, "entrypoint": request.entrypoint})
        self._latencies[request.model, request.method, request.entrypoint] = histogram
        return histogram


class _Number:
    """A number that only grows, in a file."""

    __slots__ = ("_file", "_key", "_value")

    def __init__(self, file: MmapedDict, key: str) -> None:
        self._file, self._key = file, key
        self._value, _ = file.read_value(key)

    def add(self, amount: float) -> None:
        self._value += amount
        self._file.write_value(self._key, self._value, 0.0)


class _Histogram:
    """Durations of requests: the number up to each bound, and the sum."""

    __slots__ = ("_numbers", "_sum")

    def __init__(self, file: MmapedDict, labels: dict[str, str]) -> None:
        names, values = list(labels), list(labels.values())
        self._numbers = [_Number(file, mmap_key(_LATENCY, f"{_LATENCY}_bucket", [*names, "le"], [*values, bound], _LATENCY_HELP))
                         for bound in _BOUND_LABELS]
        self._sum = _Number(file, mmap_key(_LATENCY, f"{_LATENCY}_sum", names, values, _LATENCY_HELP))

    def add(self, microseconds: float) -> None:
        self._numbers[bisect.bisect_left(_BOUNDS, microseconds)].add(1)
        self._sum.add(microseconds)


def _opened(file: Path) -> MmapedDict:
    """Opens a file of counters; a new one appears under its name only when a scrape can read it."""
    if file.exists():
        return MmapedDict(str(file))
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    opened = MmapedDict(str(unfinished))
    unfinished.rename(file)
    return opened


def _with_short_bounds(metric: Metric) -> Metric:
    """Writes the bounds of buckets as TensorFlow Serving does: `10` for 10.0, `58.32` for 58.32000000000001."""
    metric.samples = [
        sample._replace(labels={**sample.labels, "le": f"{float(sample.labels['le']):g}"})
        if sample.labels.get("le", "+Inf") != "+Inf" else sample for sample in metric.samples]
    return metric
