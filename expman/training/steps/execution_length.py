"""Chooses how many training steps run in the graph between two returns to Python."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_TARGET_SECONDS = 0.1
_MOST_STEPS = 500
_SHORTEST_FORWARD_SECONDS = 20e-6
# A backward pass computes the gradients of inputs and of weights, twice the work of a forward pass. But a forward pass of less
# than a millisecond is mostly the start of its ops, which a loop in the graph overlaps: there a whole step takes no longer.
_STEP_PER_FORWARD = 3
_MOSTLY_STARTING_SECONDS = 1e-3
_REPEATS = 3


def steps_per_execution(*, forward_seconds: float, steps_per_epoch: int | None, num_replicas: int = 1) -> int:
    """As many steps as take about 100 ms, at most an epoch: long enough to hide Python, short enough to stop and to show.

    Arguments:
        forward_seconds: time of a forward pass.
        steps_per_epoch: None while it is unknown.
        num_replicas: devices that share a batch. TensorFlow 2.21 cannot loop in the graph over several: one step for them.
    """
    if num_replicas > 1:
        return 1
    forward_seconds = max(forward_seconds, _SHORTEST_FORWARD_SECONDS)
    step_per_forward = min(max(forward_seconds / _MOSTLY_STARTING_SECONDS, 1), _STEP_PER_FORWARD)
    steps = round(_TARGET_SECONDS / (step_per_forward * forward_seconds))
    return max(1, min(steps, _MOST_STEPS, steps_per_epoch or _MOST_STEPS))


def ending_at(every_steps: int, *, num_steps: int) -> int:
    """The divisor of `every_steps` nearest to `num_steps`: executions of that length end after each `every_steps` of an epoch."""
    divisors = [number for number in range(1, every_steps + 1) if every_steps % number == 0]
    return min(divisors, key=lambda number: abs(math.log(number / num_steps)))


def forward_seconds(forward: Callable[[Any], Any], batch: Any) -> float:
    """The time that a traced forward pass takes beyond calling a function at all: the least of a few calls, in seconds."""
    call = tf.function(lambda data: tf.constant(0), autograph=False)
    call(batch)
    return max(_least_seconds(forward, batch) - _least_seconds(call, batch), 0.0)


def _least_seconds(function: Callable[[Any], Any], batch: Any) -> float:
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(batch))
        seconds.append(time.perf_counter() - start)
    return min(seconds)
