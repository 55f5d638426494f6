"""Takes what the user's functions return as tensors of numbers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from expman.errors import UserCodeError


def tensor_of_numbers(value: Any, expectation: str, *, place: str) -> tf.Tensor:
    """The value as a tensor.

    Arguments:
        value: what the user's function returned.
        expectation: begins the message, e.g. "get_total_loss must return a scalar tensor".
        place: of the function.

    Raises:
        UserCodeError: it is no tensor, or one of texts.
    """
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise UserCodeError(f"{place}: {expectation}. Got {type(value).__name__}.") from error
    if tensor.dtype == tf.string:
        raise UserCodeError(f"{place}: {expectation}. Got {value!r}.")
    return tensor
