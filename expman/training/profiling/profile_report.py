"""Tells from the events of a profile where the time of the traced training steps went."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expman.training.profiling.profile_trace import ProfileEvent

TRACED_SPAN = "traced training"  # the event that spans what is reported on
_NUM_SLOWEST = 10
_GET_NEXT = re.compile(r"(MultiDevice)?IteratorGetNext\w*(::DoCompute)?$")
_INPUT_THREAD = "tf_data_"
_OPS_RUN = "ExecutorState::Process"  # of several ops; those of a few microseconds have no events of their own


@dataclass(frozen=True)
class OpTime:
    """One op of the model over the traced steps; TensorFlow does not time those that take a few microseconds one by one.

    Attributes:
        op: `name:Type`, or the name of a GPU kernel.
        total_us: its time, summed over its executions.
        count: how often it ran.
        share: its part of the summed time of the timed ops, from 0 to 1.
    """

    op: str
    total_us: float
    count: int
    share: float


@dataclass(frozen=True)
class ProfileReport:
    """Where the wall time of the traced steps went.

    Each moment belongs to one of three: *compute* when at least one thread runs ops of the training; else *input* when the
    training waits for its next batch; else *host*: Python, callbacks, and the runtime's work around the ops. An op of the
    data pipeline, which runs on threads of tf.data, is no compute. When there is a GPU, only what runs on it is compute:
    then an op on the host launches kernels.

    Attributes:
        wall_us: time from the beginning of the first traced step to the end of the last, in microseconds.
        compute, input, host: shares of it, from 0 to 1; they add up to 1.
        slowest_ops: the ops with the greatest summed time, at most ten, in falling order.
    """

    wall_us: float
    compute: float
    input: float
    host: float
    slowest_ops: tuple[OpTime, ...]


def summarise(events: Sequence[ProfileEvent]) -> ProfileReport:
    """Computes the shares and the slowest ops within the event named `TRACED_SPAN`.

    Raises:
        ValueError: there is no such event.
    """
    span = next((event for event in events if event.name == TRACED_SPAN), None)
    if span is None:
        raise ValueError(f"The profile has no event '{TRACED_SPAN}'.")
    inside = [event for event in events if event.begin_us < span.end_us and event.end_us > span.begin_us]
    on_gpu = [event for event in inside if event.op and event.on_gpu]
    on_host = [event for event in inside if not event.on_gpu and not event.thread.startswith(_INPUT_THREAD)]
    ops = on_gpu or [event for event in on_host if event.op]
    busy = on_gpu or [event for event in on_host if event.op or event.name == _OPS_RUN]
    waits = [event for event in inside if _GET_NEXT.match(event.name)]
    compute_us = _covered(busy, span)
    input_us = _covered([*busy, *waits], span) - compute_us
    return ProfileReport(wall_us=span.duration_us, compute=compute_us / span.duration_us, input=input_us / span.duration_us,
                         host=1 - (compute_us + input_us) / span.duration_us, slowest_ops=_slowest(ops))


def as_text(report: ProfileReport, *, num_steps: int, num_executions: int) -> str:
    """The report as a table of a few lines."""
    lines = [f"Profile of {num_steps} training steps in {num_executions} executions: {report.wall_us / 1000:.2f} ms, "
             f"{report.wall_us / 1000 / max(1, num_steps):.3f} ms a step.",
             f"  compute {report.compute:6.1%}  ops of the model run",
             f"  input   {report.input:6.1%}  none runs, training waits for the next batch",
             f"  host    {report.host:6.1%}  the rest: Python, callbacks, the runtime around the ops",
             "  total ms   count  share  the slowest ops"]
    lines += [f"  {op.total_us / 1000:8.3f} {op.count:7d} {op.share:6.1%}  {op.op}" for op in report.slowest_ops]
    return "\n".join(lines) + "\n"


def _slowest(ops: Iterable[ProfileEvent]) -> tuple[OpTime, ...]:
    times, counts = Counter(), Counter()
    for event in ops:
        times[event.op] += event.duration_us
        counts[event.op] += 1
    all_us = times.total() or 1.0
    return tuple(OpTime(op, total_us, counts[op], total_us / all_us) for op, total_us in times.most_common(_NUM_SLOWEST))


def _covered(events: Iterable[ProfileEvent], span: ProfileEvent) -> float:
    """Microseconds of a span in which at least one of the events lasts."""
    covered, reached = 0.0, span.begin_us
    for begin_us, end_us in sorted((event.begin_us, event.end_us) for event in events):
        end_us = min(end_us, span.end_us)
        if end_us > reached:
            covered += end_us - max(begin_us, reached)
            reached = end_us
    return covered
