"""Checks what `get_validation_summaries` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from expman.errors import UserCodeError
from expman.settings import Settings

_FUNCTION = "get_validation_summaries"


def checked_summaries(settings: Settings, returned: Any) -> dict[str, tf.Tensor]:
    """The tensors by tag.

    Raises:
        UserCodeError: the function returned no dict of numeric tensors; the list of summaries that TensorFlow 1 took, alone
            or with a number, among them.
    """
    place = settings.place_of(_FUNCTION)
    if not isinstance(returned, Mapping):
        raise UserCodeError(f"{place}: {_FUNCTION} must return a dict from tags to tensors, e.g. {{'images': inputs}}. Got "
                            f"{type(returned).__name__}. Lists of TensorFlow 1's summaries no longer exist: return the tensors.")
    try:
        tensors = {str(tag): tf.convert_to_tensor(value) for tag, value in returned.items()}
    except (TypeError, ValueError) as error:
        raise UserCodeError(f"{place}: {_FUNCTION} must return a dict from tags to tensors: {error}") from error
    wrong = [tag for tag, tensor in tensors.items() if tensor.dtype.as_numpy_dtype is object]
    if wrong:
        raise UserCodeError(f"{place}: {_FUNCTION} must return numbers. '{wrong[0]}' has dtype {tensors[wrong[0]].dtype.name}.")
    return tensors
