"""Stops a training step whose loss or gradient is not finite."""

from __future__ import annotations

import re

import tensorflow as tf

_MARK = "The loss or its gradient is not finite"
_SUBJECT = re.compile(re.escape(_MARK) + r" \[(.*?)\]")


def require_finite(value: tf.Tensor, subject: str = "") -> tf.Tensor:
    """The value itself, or `tf.errors.InvalidArgumentError` if it is NaN or infinite; without the check under XLA.

    This single op is all that a good step pays: what went wrong is looked for only after a bad one. What a user's `train_step`
    computes cannot be computed again without its updates: there the subject tells what the value is.
    """
    return tf.debugging.check_numerics(value, f"{_MARK} [{subject}]" if subject else _MARK)


def is_not_finite(error: tf.errors.OpError) -> bool:
    """Returns whether an error comes from `require_finite`."""
    return _MARK in str(error.message)


def refused_subject(error: tf.errors.OpError) -> str | None:
    """Returns the subject that `require_finite` was given; None when it was given none."""
    found = _SUBJECT.search(str(error.message))
    return found.group(1) if found else None
