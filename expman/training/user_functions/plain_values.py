"""Turns plain values into JSON and arrays, and back, without loss."""

from __future__ import annotations

import collections
import functools
import importlib
import inspect
import random
from typing import Any

import numpy as np
import tensorflow as tf


class NotPlainError(TypeError):
    """A value that is neither plain nor can be found again by its name."""


def to_json(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns what `from_json` makes the value of again, types included.

    Arguments:
        value: None, bool, int, float, str; lists, tuples, sets, deques and dicts of such; NumPy arrays, numbers and random
            generators; Python's random generators; tensors; functions and classes that can be imported.
        arrays: gets the arrays; JSON holds their indices.

    Raises:
        NotPlainError: it holds anything else.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    members = functools.partial(_members, arrays=arrays)
    if kind is list:
        return members(value)
    if kind in (tuple, set, frozenset):
        return {kind.__name__: members(value)}
    if kind is collections.deque:
        return {"deque": members(value), "maxlen": value.maxlen}
    if kind is dict:
        return {"dict": [members(pair) for pair in value.items()]}
    if kind is np.random.Generator:
        return {"generator": to_json(value.bit_generator.state, arrays)}
    if kind is random.Random:
        return {"random": to_json(value.getstate(), arrays)}
    if isinstance(value, (np.ndarray, np.generic)) and kind in (np.ndarray, np.dtype(value.dtype).type):
        return {"array" if kind is np.ndarray else "number": _add(value, arrays)}
    if isinstance(value, tf.Tensor) and hasattr(value, "numpy"):
        return {"tensor": _add(value.numpy(), arrays)}
    return {"name": _import_name(value)}


def from_json(content: Any, arrays: list[np.ndarray]) -> Any:
    """The value that `to_json` was given.

    Raises:
        ValueError: the content is not of `to_json`.
    """
    if isinstance(content, list):
        return [from_json(member, arrays) for member in content]
    if not isinstance(content, dict):
        return content
    kind, inner = next(iter(content.items()))
    if kind in _FROM_ARRAY:
        return _FROM_ARRAY[kind](arrays[inner])
    if kind == "name":
        return _imported(*inner)
    members = from_json(inner, arrays)
    if kind == "deque":
        return collections.deque(members, maxlen=content["maxlen"])
    if kind not in _FROM_MEMBERS:
        raise ValueError(f"'{kind}' is no kind of plain value")
    return _FROM_MEMBERS[kind](members)


def _members(values: Any, *, arrays: list[np.ndarray]) -> list[Any]:
    return [to_json(member, arrays) for member in values]


def _add(value: Any, arrays: list[np.ndarray]) -> int:
    array = np.array(value)  # a copy: the value may change while it is written
    if array.dtype.hasobject or np.dtype(array.dtype.str) != array.dtype:  # the file would give it back as another type
        raise NotPlainError(f"an array of {array.dtype}")
    arrays.append(array)
    return len(arrays) - 1


def _import_name(value: Any) -> list[str]:
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, np.ufunc):
        name = [getattr(value, "__module__", None) or "numpy", getattr(value, "__qualname__", value.__name__)]
        try:
            if _imported(*name) is value:
                return name
        except (ImportError, AttributeError):
            pass
    raise NotPlainError(f"a {type(value).__name__}")


def _imported(module: str, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _generator(state: dict[str, Any]) -> np.random.Generator:
    bit_generator = getattr(np.random, state["bit_generator"])()
    bit_generator.state = state
    return np.random.Generator(bit_generator)


def _python_generator(state: tuple[Any, ...]) -> random.Random:
    generator = random.Random()
    generator.setstate(state)
    return generator


_FROM_ARRAY = {"array": np.array, "number": lambda array: array[()], "tensor": tf.constant}
_FROM_MEMBERS = {"tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict, "generator": _generator,
                 "random": _python_generator}
