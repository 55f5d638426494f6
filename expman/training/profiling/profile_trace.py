"""Reads the events of a TensorFlow profile and writes them as a trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow.tsl.profiler.protobuf import xplane_pb2

from expman.records.experiment_folder import write_atomically

_PS_PER_US = 1_000_000
_MAX_WRITTEN_EVENTS = 200_000  # about 4 MB compressed; the viewers become slow at a million
_BOOKKEEPING = "ThreadpoolListener::"  # marks without duration, a third of all events
_GPU_PLANE = "/device:GPU:"
_TYPE_SCOPE = re.compile(r"^(?:.*/)?StatefulPartitionedCall/")  # how the training loop wraps the names of a step's ops


@dataclass(frozen=True, slots=True)
class ProfileEvent:
    """Something that took time on a thread or on a device's stream.

    Attributes:
        plane: the host or the device, e.g. '/host:CPU', '/device:GPU:0'.
        thread: name of the thread or stream.
        name: what happened.
        op: name and type of the op that ran, e.g. 'dense/MatMul:MatMul', or a GPU kernel's name; '' for what is no op.
        begin_us: microseconds since the trace began.
        duration_us: microseconds.
    """

    plane: str
    thread: str
    name: str
    op: str
    begin_us: float
    duration_us: float

    @property
    def end_us(self) -> float:
        """When the operation ended, in microseconds."""
        return self.begin_us + self.duration_us

    @property
    def on_gpu(self) -> bool:
        """Tells whether it ran on a GPU."""
        return self.plane.startswith(_GPU_PLANE)


def read_events(xplane_file: Path) -> list[ProfileEvent]:
    """Returns all events of a profile, in the order of their beginnings.

    Arguments:
        xplane_file: the `*.xplane.pb` that `tf.profiler.experimental.stop` leaves.
    """
    space = xplane_pb2.XSpace()
    space.ParseFromString(xplane_file.read_bytes())
    events = (event for plane in space.planes for event in _events_of(plane))
    return sorted(events, key=lambda event: event.begin_us)


def write_trace(file: Path, events: Sequence[ProfileEvent]) -> int:
    """Writes a gzipped trace in Chrome's format: complete events ('X'), processes for planes, threads for lines.

    Returns:
        How many events were left out, the last ones, because the viewers could not show that many.
    """
    kept = events[:_MAX_WRITTEN_EVENTS]
    planes = list(dict.fromkeys(event.plane for event in kept))
    threads = {key: number for number, key in enumerate(dict.fromkeys((event.plane, event.thread) for event in kept))}
    names = [{"ph": "M", "name": "process_name", "pid": planes.index(plane), "args": {"name": plane}} for plane in planes]
    names += [{"ph": "M", "name": "thread_name", "pid": planes.index(plane), "tid": number, "args": {"name": thread}}
              for (plane, thread), number in threads.items()]
    spans = [{"ph": "X", "name": event.name, "pid": planes.index(event.plane), "tid": threads[event.plane, event.thread],
              "ts": event.begin_us, "dur": event.duration_us} for event in kept]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, gzip.compress(json.dumps({"displayTimeUnit": "ms", "traceEvents": names + spans}).encode()))
    return len(events) - len(kept)


def _events_of(plane: Any) -> Iterator[ProfileEvent]:
    op_statistic = next((number for number, stat in plane.stat_metadata.items() if stat.name == "tf_op"), None)
    for line in plane.lines:
        for event in line.events:
            metadata = plane.event_metadata[event.metadata_id]
            if metadata.name.startswith(_BOOKKEEPING):
                continue
            begin_us = line.timestamp_ns / 1000 + event.offset_ps / _PS_PER_US
            if not plane.name.startswith(_GPU_PLANE):
                op = _host_op(metadata)
            elif line.name.startswith("Stream"):
                op = _kernel(plane, event, op_statistic=op_statistic)
            else:
                op = ""  # a line that repeats what the streams ran
            yield ProfileEvent(plane.name, line.name, metadata.name, op, begin_us, event.duration_ps / _PS_PER_US)


def _host_op(metadata: Any) -> str:
    """TensorFlow names the event of an op `name:Type`, and its display name is the type."""
    is_op = metadata.display_name and metadata.name.endswith(f":{metadata.display_name}") and "::" not in metadata.name
    return _TYPE_SCOPE.sub("", metadata.name) if is_op else ""


def _kernel(plane: Any, event: Any, *, op_statistic: int | None) -> str:
    """The op that launched a kernel, or the kernel's or copy's own name."""
    for stat in event.stats:
        if stat.metadata_id == op_statistic:
            name = plane.stat_metadata[stat.ref_value].name if stat.WhichOneof("value") == "ref_value" else stat.str_value
            return _TYPE_SCOPE.sub("", name)
    return plane.event_metadata[event.metadata_id].name
