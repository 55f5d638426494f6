"""Runs several steps in the graph between two returns to Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

Logs = Mapping[str, tf.Tensor]


def step_loop(step: Callable[[Any], Logs], *, most_steps: Callable[[], int], first_logs: Mapping[str, float] | None = None,
              result: Callable[[], Logs] | None = None) -> Callable[[tf.data.Iterator], Logs]:
    """Makes what Keras' `fit` and `evaluate` call for an execution, on one device.

    It does what Keras' own loop does, with half the graph: a small network takes longer to trace than to train for an epoch.

    Arguments:
        step: computes one batch; a `tf.function`.
        most_steps: tells how many steps an execution has; at the end of the data it is shorter.
        first_logs: names the scalars of `step` whose last values are returned, and gives them values before the first step.
        result: makes, in the graph, what is returned after the last step; None: what `step` returned.

    Returns:
        A function of an iterator; it raises `StopIteration` when the iterator has no batch left.
    """
    @tf.function(autograph=False, reduce_retracing=True)
    def execution(iterator: tf.data.Iterator, num_steps: tf.Tensor) -> tuple[tf.Tensor, Logs]:
        def body(count: tf.Tensor, batch: tf.experimental.Optional, _: Logs) -> tuple[Any, ...]:
            logs = step(batch.get_value())
            following = tf.cond(count + 1 < num_steps, iterator.get_next_as_optional,
                                lambda: tf.experimental.Optional.empty(iterator.element_spec))
            return count + 1, following, {name: logs[name] for name in first_logs or {}}

        first = {name: tf.constant(value) for name, value in (first_logs or {}).items()}
        count, _, logs = tf.while_loop(lambda _, batch, __: batch.has_value(), body,
                                       [tf.constant(0), iterator.get_next_as_optional(), first])
        return count, result() if result else logs

    def run(iterator: tf.data.Iterator) -> Logs:
        count, logs = execution(iterator, tf.constant(most_steps()))
        if not count:
            raise StopIteration
        return logs

    return run
