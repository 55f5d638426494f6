"""Checks the names that the inputs and outputs of a served model have, as far as TensorFlow can carry them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from typing import Any

from expman.errors import UserCodeError

_OUTPUT_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]*")  # of TensorFlow's operations
_INPUT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # of the parameters of a function
_TAKEN_INPUT_NAMES = ("self", *keyword.kwlist)
_NOT_IN_INPUT_NAMES = re.compile(r"[^A-Za-z0-9_]+")


def check_output_names(outputs: Iterable[Any], *, place: str) -> None:
    """Raises UserCodeError when the names of outputs cannot be those of a signature that is served."""
    wrong = [name for name in outputs if not (isinstance(name, str) and _OUTPUT_NAME.fullmatch(name))]
    if wrong:
        raise UserCodeError(f"{place} must name its outputs by letters, digits, '_', '-', '.' and '/', a letter or digit first. "
                            f"Got {wrong[0]!r}.")


def check_input_names(inputs: Iterable[Any], *, place: str) -> None:
    """Raises UserCodeError when the names of inputs cannot be those of a signature that is served."""
    lowered: dict[str, str] = {}  # TensorFlow writes the names of a function's arguments small
    for name in inputs:
        if not (isinstance(name, str) and _INPUT_NAME.fullmatch(name)) or name in _TAKEN_INPUT_NAMES:
            raise UserCodeError(f"{place}: the name of a served input must consist of letters of ASCII, digits and '_', begin "
                                f"with a letter, and be no word of Python's own. Got {name!r}. Rename it here and in the "
                                f"features of the data, e.g. '{_proposed(name)}'.")
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            raise UserCodeError(f"{place}: the names of two served inputs must differ in more than their case. Got {other!r} and "
                                f"{name!r}. Rename one here and in the features of the data, e.g. '{name}_2'.")


def _proposed(name: Any) -> str:
    """The name with '_' for what cannot be."""
    proposed = _NOT_IN_INPUT_NAMES.sub("_", str(name)).strip("_")
    return proposed if _INPUT_NAME.fullmatch(proposed) and proposed not in _TAKEN_INPUT_NAMES else f"input_{proposed}".rstrip("_")
