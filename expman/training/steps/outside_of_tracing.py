"""Lets variables be made while a graph is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def outside_of_tracing(*, without_strategy: bool) -> Iterator[None]:
    """What is made in the context belongs to no graph, and outlives the tracing.

    With `tf.init_scope` alone, the function that is being traced would learn of the variables, and be traced a second time.

    Arguments:
        without_strategy: False where a `tf.distribute.Strategy` has to place the variables or mirror them: the graph that
            hides them from the traced function would hide them from the strategy, too.
    """
    if not without_strategy:
        with tf.init_scope():
            yield
        return
    with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():
        yield
