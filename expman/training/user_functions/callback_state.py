"""The state of a Keras callback of the user: its attributes that a checkpoint can hold."""

from __future__ import annotations

import inspect
import logging
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.training.user_functions.plain_values import NotPlainError, from_json, to_json

_OF_KERAS = ("_model", "params")  # set by `fit`
_CODE = (types.ModuleType, np.ufunc, logging.Logger, pathlib.PurePath, tf.data.Dataset, tf.DType)


class CallbackState:
    """Saves and restores one callback's plain attributes; remembers how it was when it was made.

    Arguments:
        callback: as `addon_callbacks` returned it.
        given: what `addon_callbacks` was given, and gets again at a restart: what holds nothing else is not saved.

    Attributes:
        name: of the callback's class.
        unsaved: the attributes that no checkpoint can hold and that are neither code nor given.
    """

    def __init__(self, callback: keras.callbacks.Callback, *, given: Iterable[Any]) -> None:
        self._callback = callback
        self._given = {id(leaf) for leaf in _leaves(list(given))}
        self.name = type(callback).__name__
        self._at_first = dict(self._attributes())
        self.unsaved = [] if self._is_keras else [
            name for name, value in self._at_first.items() if not (self._is_known(value) or _is_plain(value))]

    def to_json(self, arrays: list[np.ndarray]) -> dict[str, Any]:
        """The plain attributes by name; see `plain_values.to_json`."""
        state = {}
        for name, value in self._attributes().items():
            if self._is_given(value):
                continue
            num_arrays = len(arrays)
            try:
                state[name] = to_json(value, arrays)
            except NotPlainError:
                del arrays[num_arrays:]
        return {"class": self.name, "attributes": state}

    def restore(self, saved: Mapping[str, Any], arrays: list[np.ndarray]) -> None:
        """Sets the attributes that were saved; the others stay as they are."""
        for name, content in saved["attributes"].items():
            setattr(self._callback, name, from_json(content, arrays))

    def newly_unsaved(self) -> list[str]:
        """The attributes that became in training what no checkpoint can hold."""
        return [] if self._is_keras else [
            name for name, value in self._attributes().items()
            if value is not self._at_first.get(name) and not (self._is_given(value) or _is_plain(value))]

    @property
    def _is_keras(self) -> bool:
        """Returns whether the callback is one of Keras' own, which keep their state in plain attributes."""
        return type(self._callback).__module__.startswith("keras.")

    def _attributes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self._callback).items() if name not in _OF_KERAS}

    def _is_given(self, value: Any) -> bool:
        leaves = list(_leaves(value))
        return bool(leaves) and all(id(leaf) in self._given for leaf in leaves)

    def _is_known(self, value: Any) -> bool:
        return inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, _CODE) or self._is_given(value)


def _leaves(structure: Any) -> Iterator[Any]:
    """The members of nested dicts, lists and tuples; unlike TensorFlow's flattening, keys need no order."""
    if isinstance(structure, (Mapping, list, tuple)):
        for member in structure.values() if isinstance(structure, Mapping) else structure:
            yield from _leaves(member)
    else:
        yield structure


def _is_plain(value: Any) -> bool:
    try:
        to_json(value, [])
    except NotPlainError:
        return False
    return True
