"""Finds an output and a label, or what one metric compares, whose shapes are broadcast to all pairs of a batch's samples.

That other outputs and labels are paired rightly hides it from a look at the whole loss. What tells is that the number depends on
both tensors together, and on neither's order. Only shapes that differ by a trailing dimension of 1 are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

_EQUAL = 1e-6  # relative: rounding of float32
_COUPLED = 1e-5
MOST_SHIFTS = 15


def are_broadcast(one: Any, other: Any) -> bool:
    """Returns whether two tensors have shapes that differ in a trailing dimension of 1 alone."""
    if not (isinstance(one, tf.Tensor) and isinstance(other, tf.Tensor)):
        return False
    longer, shorter = sorted((one.shape.as_list(), other.shape.as_list()), key=len, reverse=True)
    return longer == [*shorter, 1]


def compares_all_with_all(number: Callable[[tf.Tensor, tf.Tensor], float], one: tf.Tensor, other: tf.Tensor) -> bool:
    """Returns whether a number depends on two tensors together, but not on which sample of the one has which of the other.

    Arguments:
        number: of the two tensors; all else is held fixed.
        one, other: `[batch, ...]`.
    """
    first, alike = number(one, other), _first_repeated(one)
    terms = (first, number(alike, other), number(one, _first_repeated(other)), number(alike, _first_repeated(other)))
    largest = max(map(abs, terms))
    if not abs(terms[0] - terms[1] - terms[2] + terms[3]) > _COUPLED * largest:  # nor where one is not finite
        return False
    return all(abs(number(tf.roll(one, shift, axis=0), other) - first) <= _EQUAL * largest
               for shift in range(1, min(one.shape[0], MOST_SHIFTS + 1)))


def broadcast_pair(loss: Callable[[Mapping[str, tf.Tensor], Any], float], outputs: Mapping[str, tf.Tensor], labels: Any
                   ) -> tuple[str, tf.Tensor, str, tf.Tensor] | None:
    """The first output, with its name, and label, with how to write it, of which a loss compares all samples with all.

    Arguments:
        loss: of outputs and labels.
        outputs: name → tensor.
        labels: a tensor or a dict or tuple of tensors.
    """
    flat = tf.nest.flatten(labels)
    for name, output in outputs.items():
        for position, label in enumerate(flat):
            def number(one: tf.Tensor, other: tf.Tensor, name: str = name, position: int = position) -> float:
                changed = [*flat[:position], other, *flat[position + 1:]]
                return loss({**outputs, name: one}, tf.nest.pack_sequence_as(labels, changed))

            if are_broadcast(output, label) and compares_all_with_all(number, output, label):
                return name, output, _written(labels, position), label
    return None


def _first_repeated(tensor: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tensor[:1], tensor.shape[0], axis=0)


def _written(labels: Any, position: int) -> str:
    """Returns how the user writes one of the labels."""
    if isinstance(labels, Mapping):
        return f"labels['{sorted(labels)[position]}']"
    return f"labels[{position}]" if isinstance(labels, (tuple, list)) else "labels"
