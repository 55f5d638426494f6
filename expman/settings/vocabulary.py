"""The vocabulary in which `contract` declares settings and prototypes.

From one declaration come the check with its error wording, the default, the `--help` text and the documentation.
"""

from __future__ import annotations

import ast
import inspect
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class Required:
    """The default of a setting that the user must give."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class ValueKind:
    """The values that a setting accepts.

    Attributes:
        expectation: completes the sentence "NAME must be …".
        accepts: whether a value is of this kind.
    """

    expectation: str
    accepts: Callable[[Any], bool]

    def error(self, value: Any) -> str | None:
        """Returns what was expected, what was found and the remedy; None for an accepted value."""
        if self.accepts(value):
            return None
        remedy = _remedy(self, value)
        return f"must be {self.expectation}. Got {value!r} ({type(value).__name__})." + (f" {remedy}" if remedy else "")


def _is_number(value: Any, number_type: type) -> bool:
    return isinstance(value, number_type) and not isinstance(value, bool)


def text() -> ValueKind:
    """Any text."""
    return ValueKind("a str", lambda value: isinstance(value, str))


def text_or_list() -> ValueKind:
    """A text, or a list of texts."""
    return ValueKind("a str, or a list of str", lambda value: isinstance(value, str) or list_of(text(), "str").accepts(value))


def name() -> ValueKind:
    """A text that is not empty."""
    return ValueKind("a str that is not empty", lambda value: isinstance(value, str) and bool(value.strip()))


def flag() -> ValueKind:
    """True or False; no number stands for them."""
    return ValueKind("True or False", lambda value: isinstance(value, bool))


def integer(*, minimum: int | None = None, maximum: int | None = None) -> ValueKind:
    """A whole number within bounds, ends included; True and False are none."""
    bounds = ""
    if minimum is not None and maximum is not None:
        bounds = f" from {minimum} to {maximum}"
    elif minimum is not None:
        bounds = " above 0" if minimum == 1 else f" of at least {minimum}"
    return ValueKind(
        f"an int{bounds}",
        lambda value: _is_number(value, numbers.Integral) and (minimum is None or value >= minimum)
        and (maximum is None or value <= maximum))


def number(*, above: float | None = None, minimum: float | None = None, below: float | None = None) -> ValueKind:
    """A finite int or float within the given bounds."""
    bounds = [f"above {above:g}"] if above is not None else []
    bounds += [f"of at least {minimum:g}"] if minimum is not None else []
    bounds += [f"below {below:g}"] if below is not None else []
    return ValueKind(
        " ".join(["a float", " and ".join(bounds)]).strip(),
        lambda value: _is_number(value, numbers.Real) and float("-inf") < value < float("inf")
        and (above is None or value > above) and (minimum is None or value >= minimum)
        and (below is None or value < below))


def choice(*options: str | bool) -> ValueKind:
    """One of some values."""
    return ValueKind("one of " + ", ".join(map(repr, options)),
                     lambda value: any(type(value) is type(option) and value == option for option in options))


def list_of(item: ValueKind, plural: str) -> ValueKind:
    """A list or tuple whose items are all of a kind."""
    return ValueKind(f"a list of {plural}",
                     lambda value: isinstance(value, (list, tuple)) and all(map(item.accepts, value)))


def scalar_dict() -> ValueKind:
    """Names and their plain values, as JSON can keep them."""
    return ValueKind(
        "a dict from names to a bool, int, float, str, None, or a list of these",
        lambda value: isinstance(value, dict) and all(
            isinstance(key, str) and all(map(_is_scalar, entry if isinstance(entry, (list, tuple)) else [entry]))
            for key, entry in value.items()))


def named_folders() -> ValueKind:
    """Names, which become parts of columns and tags, with a folder each."""
    return ValueKind(
        "a dict from names (a letter, then letters, digits, '_', '-' or '.') to folders (str)",
        lambda value: isinstance(value, dict) and all(
            isinstance(key, str) and _PLAIN_NAME.fullmatch(key) and isinstance(folder, str) and folder.strip()
            for key, folder in value.items()))


def class_weights() -> ValueKind:
    """'balanced', or the weight of each class."""
    return ValueKind(
        "'balanced', or a dict from classes (int) to weights of at least 0, not all 0",
        lambda value: value == "balanced" if isinstance(value, str) else isinstance(value, dict) and all(
            _is_number(label, numbers.Integral) and number(minimum=0).accepts(weight) for label, weight in value.items()
        ) and any(value.values()))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, numbers.Real, str))


def optional(kind: ValueKind) -> ValueKind:
    """A kind of value, or None."""
    return ValueKind(f"{kind.expectation}, or None", lambda value: value is None or kind.accepts(value))


def _remedy(kind: ValueKind, value: Any) -> str:
    """Returns the edit that most likely mends the value; '' when there is no obvious one."""
    if isinstance(value, str):
        try:
            unquoted = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            return ""
        return "Remove the quotes." if kind.accepts(unquoted) else ""
    for conversion in (lambda: int(value) if float(value).is_integer() else None, lambda: bool(value), lambda: [value]):
        try:
            candidate = conversion()
        except (TypeError, ValueError):
            continue
        if candidate is not None and kind.accepts(candidate):
            return f"Write {candidate!r}."
    return "" if value is not None else "Give it a value."


@dataclass(frozen=True)
class Setting:
    """One name of the settings file.

    Attributes:
        name: as the user writes it.
        kind: the values it accepts.
        meaning: one line of help.
        default: the value when the file does not give one, or `REQUIRED`.
        unit: of a number, else ''.
    """

    name: str
    kind: ValueKind
    meaning: str
    default: Any = REQUIRED
    unit: str = ""


def markdown_table(settings: Iterable[Setting]) -> str:
    """Settings as a Markdown table."""
    rows = ["| name | must be | default | meaning |", "| --- | --- | --- | --- |"]
    for setting in settings:
        default = "**required**" if setting.default is REQUIRED else f"`{setting.default!r}`"
        unit = f" [{setting.unit}]" if setting.unit else ""
        rows.append(f"| `{setting.name}` | {setting.kind.expectation}{unit} | {default} | {setting.meaning} |")
    return "\n".join(rows)


@dataclass(frozen=True)
class Prototype:
    """One function (or class, or method of it) that the user writes and the manager calls by keyword.

    Attributes:
        name: as the user writes it.
        parameters: the names that the manager offers; the function declares those that it needs.
        returns: what the function must return.
        required: whether an experiment can do without it.
    """

    name: str
    parameters: tuple[str, ...]
    returns: str = ""
    required: bool = True

    def error(self, function: Any) -> str | None:
        """Returns what is wrong with a function; None when it can be called with the offered parameters."""
        if not callable(function):
            return f"must be a function. Got {function!r} ({type(function).__name__})."
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.POSITIONAL_ONLY:
                return f"parameter '{parameter.name}' must not be positional-only: it is passed by keyword."
            if _is_needed(parameter) and parameter.name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                return (f"declares the unknown parameter '{parameter.name}'. Known parameters: {known}. "
                        "Rename it, or give it a default value.")
        return None

    def select(self, function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the offered arguments that the function declares; all of them when it takes `**kwargs`."""
        declared = inspect.signature(function).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in declared):
            return dict(offered)
        names = {parameter.name for parameter in declared}
        return {key: value for key, value in offered.items() if key in names}


@dataclass(frozen=True)
class MethodPrototype(Prototype):
    """A method that declares those of the offered parameters that it needs, in any order.

    Where the first of them is not declared by its name, a parameter of any other name gets its argument.
    """

    def error(self, function: Any) -> str | None:
        """Returns what is wrong with a bound method; None when it can be called with the offered parameters."""
        if not callable(function):
            return "is missing."
        signature = inspect.signature(function)
        stand_in = self._stand_in(signature)
        unknown = [parameter.name for parameter in signature.parameters.values()
                   if _is_needed(parameter) and parameter.name not in (*self.parameters, stand_in)]
        if not unknown:
            return None
        known = ", ".join(self.parameters) or "none"
        return (f"declares the unknown parameter '{unknown[0]}'. Known parameters: {known}. "
                "Rename it, or give it a default value.")

    def bind(self, method: Callable[..., Any], offered: Mapping[str, Any]) -> inspect.BoundArguments:
        """Returns the arguments for a bound method that has no error; those that are not offered keep their default."""
        signature = inspect.signature(method)
        stand_in = self._stand_in(signature)
        bound = signature.bind_partial()
        for parameter in signature.parameters.values():
            name = self.parameters[0] if parameter.name == stand_in else parameter.name
            if name in offered:
                is_tuple = parameter.kind is parameter.VAR_POSITIONAL
                bound.arguments[parameter.name] = (offered[name],) if is_tuple else offered[name]
        return bound

    def _stand_in(self, signature: inspect.Signature) -> str | None:
        """The parameter that takes the place of the first that is offered; a needed one before one that begins the list."""
        names = list(signature.parameters)
        if not self.parameters or self.parameters[0] in names:
            return None
        needed = [name for name in names if name not in self.parameters and _is_needed(signature.parameters[name])]
        first = [name for name in names[:1] if name not in self.parameters
                 and signature.parameters[name].kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)]
        return next(iter([*needed, *first]), None)


def _is_needed(parameter: inspect.Parameter) -> bool:
    """Returns True for a parameter that each caller must pass."""
    return parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
