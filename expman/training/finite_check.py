"""Stops a training step in the graph when its loss or gradient is not finite, and tells where that began."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

_MARK = "not finite:"
_NUMBERS = re.compile(r"\[([-+.\deinfa ]+)\]")


class FiniteCheck:
    """The check of one model's training step.

    Only when the check fails are the tensors searched, so that a good step pays for two comparisons.
    """

    def __init__(self) -> None:
        self._names: list[str] = []

    def require_finite(self, condition: tf.Tensor, *, searched: Mapping[str, Any]) -> tf.Operation | tf.Tensor:
        """An op that fails with `tf.errors.InvalidArgumentError` unless the condition holds; nothing under XLA.

        Arguments:
            condition: bool scalar.
            searched: name → tensor or structure of tensors, in the order in which the step computes them.
        """
        named = list(_named_tensors(searched))
        self._names = [name for name, _ in named]

        def fail() -> tf.Tensor:
            table = tf.stack([_is_finite_and_range(tensor) for _, tensor in named])
            check = tf.debugging.Assert(False, [_MARK, table], summarize=3 * len(named))
            with tf.control_dependencies([check]):
                return tf.constant(False)

        return tf.cond(condition, lambda: tf.constant(True), fail)

    def explain(self, error: tf.errors.OpError) -> str | None:
        """What a failed check found, in words; None for another error."""
        if _MARK not in str(error.message):
            return None
        rows = [[float(number) for number in row.split()]
                for row in _NUMBERS.findall(error.message.partition(_MARK)[2])]
        found = dict(zip(self._names, rows))
        first = next((name for name, row in found.items() if not row[0]), "the norm of the gradient")
        ranges = [f"{name} from {row[1]:g} to {row[2]:g}" for name, row in found.items()
                  if name.startswith(("features", "labels"))]
        return f"The first tensor that is not finite: {first}. The batch: {', '.join(ranges)}."


def _named_tensors(searched: Mapping[str, Any]) -> Iterator[tuple[str, tf.Tensor]]:
    for name, structure in searched.items():
        members = structure.items() if isinstance(structure, Mapping) else [("", structure)]
        for member, tensor in members:
            for part in tf.nest.flatten(tensor):
                if part is not None and (part.dtype.is_floating or part.dtype.is_integer):
                    yield f"{name} '{member}'" if member else name, tf.convert_to_tensor(part)


def _is_finite_and_range(tensor: tf.Tensor) -> tf.Tensor:
    """float32 [3]: whether all is finite, and the smallest and the largest of the finite values."""
    values = tf.cast(tensor, tf.float32)
    finite = tf.math.is_finite(values)
    return tf.stack([tf.cast(tf.reduce_all(finite), tf.float32), tf.reduce_min(tf.where(finite, values, float("inf"))),
                     tf.reduce_max(tf.where(finite, values, float("-inf")))])
