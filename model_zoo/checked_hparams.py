"""Reads hyperparameters of the models, each with its default and a check."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any


def whole_number(hparams: Mapping[str, Any], name: str, default: int | None = None, *, least: int = 1) -> int:
    """A whole number.

    Arguments:
        hparams: what the settings file declares.
        name: of the hyperparameter.
        default: taken when it is absent; None: it must be there.
        least: the smallest that is allowed.

    Raises:
        ValueError: it is absent without a default, or no whole number of at least `least`.
    """
    value = _read(hparams, name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"hparams['{name}'] must be an int of at least {least}. Got {value!r}. "
                         "Change it in the settings file.")
    return value


def real_number(hparams: Mapping[str, Any], name: str, default: float, *, above: float | None = None,
                least: float | None = None, below: float | None = None, most: float | None = None) -> float:
    """A number within limits, each of which may be absent.

    Raises:
        ValueError: it is no number, or not above `above`, at least `least`, below `below` or at most `most`.
    """
    value = _read(hparams, name, default)
    limits = {f"above {above}": (above, operator.gt), f"at least {least}": (least, operator.ge),
              f"below {below}": (below, operator.lt), f"at most {most}": (most, operator.le)}
    limits = {text: (limit, holds) for text, (limit, holds) in limits.items() if limit is not None}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not all(holds(value, limit) for limit, holds in limits.values()):
        raise ValueError(f"hparams['{name}'] must be a number {' and '.join(limits)}. Got {value!r}. "
                         "Change it in the settings file.")
    return float(value)


def choice(hparams: Mapping[str, Any], name: str, default: str, *, choices: Sequence[str]) -> str:
    """One of several texts.

    Raises:
        ValueError: it is none of them.
    """
    value = _read(hparams, name, default)
    if value not in choices:
        raise ValueError(f"hparams['{name}'] must be one of {', '.join(map(repr, choices))}. Got {value!r}. "
                         "Change it in the settings file.")
    return value


def flag(hparams: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or False.

    Raises:
        ValueError: it is neither.
    """
    value = _read(hparams, name, default)
    if not isinstance(value, bool):
        raise ValueError(f"hparams['{name}'] must be True or False. Got {value!r}. Change it in the settings file.")
    return value


def number_of_outputs(n_outputs: Any, *, least: int = 1, meaning: str = "outputs") -> int:
    """The setting `n_outputs`.

    Raises:
        ValueError: it is no whole number of at least `least`.
    """
    if isinstance(n_outputs, bool) or not isinstance(n_outputs, int) or n_outputs < least:
        raise ValueError(f"n_outputs, the number of {meaning}, must be an int of at least {least}. Got {n_outputs!r}. "
                         "Set n_outputs in the settings file.")
    return n_outputs


def _read(hparams: Mapping[str, Any], name: str, default: Any) -> Any:
    if name not in hparams and default is None:
        raise ValueError(f"hparams lacks '{name}', which has no sensible default. Add it to hparams in the settings file.")
    return hparams.get(name, default)
