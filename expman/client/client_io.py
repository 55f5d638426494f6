"""Calls the user's Client_IO class; whatever it raises becomes an error that shows the user his own lines."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from expman.errors import UserCodeError
from expman.settings import contract
from expman.settings.settings_check import client_errors
from expman.settings.user_module import user_code
from expman.wire.tensor_codec import to_numpy

_LOGGER = logging.getLogger(__name__)

_CLASS = next(prototype for prototype in contract.PROTOTYPES if prototype.name == "Client_IO")
_METHODS = {method.name: method for method in contract.CLIENT_METHODS}


def check_client_io(client_io_class: type) -> None:
    """Checks that the class has the methods that will be called, with the parameters that they get.

    Raises:
        UserCodeError: it has not; the message lists all that is wrong.
    """
    errors = [_CLASS.error(client_io_class), *client_errors(client_io_class)]
    if any(errors):
        raise UserCodeError("\n".join(f"class {client_io_class.__name__}: {error}" for error in errors if error))


@contextmanager
def opened_client_io(client_io_class: type, *, client_init_specs: Mapping[str, Any],
                     debug: bool) -> Iterator[ClientIO]:
    """Builds the user's object and calls its `finalize()` exactly once, however the block ends.

    Raises:
        UserCodeError: `__init__` or `finalize` raised.
    """
    client_io = ClientIO(client_io_class, client_init_specs=client_init_specs, debug=debug)
    try:
        yield client_io
    except BaseException:
        # What ended the block is what the user must see first; a failing clean-up is only logged.
        try:
            client_io.finalize()
        except UserCodeError as second_error:
            _LOGGER.error("%s", second_error)
        raise
    client_io.finalize()


class ClientIO:
    """The user's object, with the errors of its methods translated.

    Arguments:
        client_io_class: the settings file's `Client_IO`.
        client_init_specs: passed as `clientInitSpecs`, if `__init__` declares it.
        debug: passed as `debugMode`, likewise.

    Raises:
        UserCodeError: `__init__` raised.
    """

    def __init__(self, client_io_class: type, *, client_init_specs: Mapping[str, Any], debug: bool) -> None:
        offered = {"clientInitSpecs": client_init_specs, "debugMode": debug}
        self._client_io = _called("__init__", client_io_class, **_CLASS.select(client_io_class, offered))
        missing = [method.name for method in contract.CLIENT_METHODS if not callable(getattr(self._client_io, method.name, None))]
        if missing:
            raise UserCodeError(f"{_place(client_io_class)}: Client_IO must make an object with the method {missing[0]}. "
                                f"Got {type(self._client_io).__name__}.")

    @property
    def served_heads(self) -> list[str] | str | None:
        """The outputs that the class or the object asks for, or the name of a signature; None: it leaves that to the settings.

        Raises:
            UserCodeError: it is neither.
        """
        heads = getattr(self._client_io, "served_heads", None)
        is_name = isinstance(heads, str) and heads
        is_list = isinstance(heads, (list, tuple)) and heads and all(isinstance(head, str) and head for head in heads)
        if heads is None or is_name:
            return heads
        if not is_list:
            raise UserCodeError("Client_IO.served_heads must be a list of outputs, such as ['code', 'prediction'], or the name "
                                f"of a signature, such as 'serving_default' for all outputs. Got {heads!r}.")
        return list(heads)

    def input_data(self, index: int) -> np.ndarray | dict[str, np.ndarray]:
        """The input of one request.

        Arguments:
            index: counts the requests, from 1; see `contract.CLIENT_METHODS` for what the method is told.

        Raises:
            StopIteration: there is no more input.
            UserCodeError: the method raised, or returned neither an array nor a dict of arrays.
        """
        data = self._call("getInputData", idx=index, index=index - 1)
        place = _place(self._client_io.getInputData)
        if isinstance(data, (np.ndarray, np.generic)):
            return np.asarray(data)
        if not isinstance(data, dict) or not data:
            raise UserCodeError(f"{place}: Client_IO.getInputData must return a NumPy array, or a dict input name -> NumPy array "
                                f"with at least one entry. Got {'{}' if data == {} else type(data).__name__}.")
        wrong = [f"'{name}': {type(value).__name__}" for name, value in data.items()
                 if not (isinstance(name, str) and isinstance(value, (np.ndarray, np.generic)))]
        if wrong:
            raise UserCodeError(f"{place}: Client_IO.getInputData must return NumPy arrays under names of type str. "
                                f"Got {', '.join(wrong)}. Convert each by np.asarray(value, dtype=…).")
        return data

    def decode_response(self, response: Any) -> None:
        """Hands a PredictResponse over; to a parameter named `outputs`, its arrays by name.

        Raises:
            StopIteration: the user's code wants no further request.
            UserCodeError: the method raised.
        """
        offered = {"result": response}
        if "outputs" in inspect.signature(self._client_io.decodeResponse).parameters:
            offered["outputs"] = {name: to_numpy(tensor) for name, tensor in response.outputs.items()}
        self._call("decodeResponse", **offered)

    def finalize(self) -> None:
        """Raises UserCodeError if the method raised."""
        self._call("finalize")

    def _call(self, name: str, **offered: Any) -> Any:
        method = getattr(self._client_io, name)
        bound = _METHODS[name].bind(method, offered)
        return _called(name, method, *bound.args, **bound.kwargs)


def _called(name: str, method: Callable[..., Any], *arguments: Any, **keyword_arguments: Any) -> Any:
    with user_code(f"Client_IO.{name}", default_place=_place(method), lets_through=(StopIteration,),
                   runs_from_copy=True):
        try:
            return method(*arguments, **keyword_arguments)
        except StopIteration:
            if name in ("getInputData", "decodeResponse"):
                raise
            raise UserCodeError(f"{_place(method)}: Client_IO.{name} must not raise StopIteration; only getInputData and "
                                "decodeResponse may, to end the requests.") from None


def _place(function: Callable[..., Any]) -> str:
    """`file:line` of a method or of a class's `__init__`, for messages."""
    code = getattr(function, "__code__", None) or getattr(getattr(function, "__init__", None), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "Client_IO"
