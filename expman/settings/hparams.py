"""Applies overrides to the `hparams` of a settings file, keeping the type of each default."""

from __future__ import annotations

import ast
import difflib
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from expman.errors import UsageError

_TRUTH = {"true": True, "false": False}


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Turns `['hiddenNeurons=5', 'addNoise=False']` into a dict of texts.

    Raises:
        UsageError: an item is not `name=value`, or a name comes twice.
    """
    parsed: dict[str, str] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or not name.strip():
            raise UsageError(f"--hparams expects name=value. Got '{assignment}'.")
        if name.strip() in parsed:
            raise UsageError(f"--hparams names '{name.strip()}' twice. Keep one of them.")
        parsed[name.strip()] = value.strip()
    return parsed


class HparamsOverrides:
    """The values that replace those of a settings file while it is being executed.

    Arguments:
        overrides: name → value; a text is read as the default's type, a NumPy scalar as Python's.
        origin: where they come from, for the experiment's record.

    Attributes:
        applied: the converted overrides that met their default.
    """

    def __init__(self, overrides: Mapping[str, Any], *, origin: str) -> None:
        self._overrides = overrides
        self._origin = origin
        self.applied: dict[str, Any] = {}

    def apply(self, hparams: Any) -> Any:
        """Returns `hparams` with the overrides in place; anything that is no dict is left to the checker.

        Raises:
            UsageError: a value does not have the type of its default.
        """
        if not isinstance(hparams, dict):
            return hparams
        for name, value in self._overrides.items():
            if name in hparams:
                self.applied[name] = _convert(name, value, default=hparams[name])
        return hparams | self.applied

    def check_all_used(self, hparams: Any, *, file: str) -> None:
        """Reports the overrides that no `hparams` of the file knows.

        Raises:
            UsageError: a name is unknown.
        """
        known = list(hparams) if isinstance(hparams, dict) else []
        for name in self._overrides:
            if name not in self.applied:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise UsageError(f"hparams has no '{name}'.{hint} {file} defines: {', '.join(known) or 'none'}.")

    def origins(self, hparams: Mapping[str, Any]) -> dict[str, str]:
        """Where the value of each hyperparameter comes from."""
        return {name: self._origin if name in self.applied else "settings file" for name in hparams}


def _convert(name: str, value: Any, *, default: Any) -> Any:
    """The value in the type of its default; a default of None takes any Python literal, else the text itself."""
    original = value
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, str) and not isinstance(default, str):
        value = _literal(value)
    if default is None:
        return value
    if isinstance(default, (list, tuple)):
        fits = isinstance(value, (list, tuple))
        value = type(default)(value) if fits else value
    elif isinstance(default, (bool, str)):
        fits = isinstance(value, type(default))
    elif isinstance(default, numbers.Integral):
        fits = _is_number(value) and float(value).is_integer()
        value = int(value) if fits else value
    else:
        fits = _is_number(value)
        value = float(value) if fits else value
    if not fits:
        raise UsageError(f"hparams: {name} must be {_described(default)}, like its default {default!r}. "
                         f"Got {original!r} ({type(original).__name__}).")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(value) < float("inf")  # type: ignore[operator]  # a huge int fits no float


def _literal(value: str) -> Any:
    if value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _described(default: Any) -> str:
    return {bool: "True or False", str: "a str", list: "a list", tuple: "a tuple"}.get(type(default)) or (
        "an int" if isinstance(default, numbers.Integral) else "a finite float")
