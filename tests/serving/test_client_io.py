"""The user's Client_IO is built with what it declares, and what it returns is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expman.client_io import check_client_io, opened_client_io
from expman.errors import UserCodeError

_OFFERED = {"client_init_specs": {"camera": 2}, "debug": True}


class MinimalClientIO:
    """Has the three methods and notes what it was built with."""

    built_with: tuple

    def __init__(self) -> None:
        type(self).built_with = ()

    def getInputData(self, idx: int) -> Any:
        return np.zeros(idx)

    def decodeResponse(self, result: Any) -> None:
        pass

    def finalize(self) -> None:
        pass


class WithDebugAndDefault(MinimalClientIO):
    def __init__(self, debugMode: bool, scale: int = 3) -> None:
        type(self).built_with = (debugMode, scale)


class WithBoth(MinimalClientIO):
    def __init__(self, clientInitSpecs: dict, debugMode: bool) -> None:
        type(self).built_with = (clientInitSpecs, debugMode)


class WithAny(MinimalClientIO):
    def __init__(self, **specs: Any) -> None:
        type(self).built_with = (specs["clientInitSpecs"], specs["debugMode"])


@pytest.mark.parametrize(("client_io_class", "built_with"), [
    (MinimalClientIO, ()), (WithDebugAndDefault, (True, 3)), (WithBoth, ({"camera": 2}, True)),
    (WithAny, ({"camera": 2}, True))])
def test_init_gets_just_the_parameters_that_it_declares(client_io_class: type, built_with: tuple) -> None:
    with opened_client_io(client_io_class, **_OFFERED):
        assert client_io_class.built_with == built_with


def test_class_without_init_is_built() -> None:
    class WithoutInit:
        getInputData = MinimalClientIO.getInputData
        decodeResponse = MinimalClientIO.decodeResponse
        finalize = MinimalClientIO.finalize

    with opened_client_io(WithoutInit, **_OFFERED) as client_io:
        assert client_io.input_data(2).shape == (2,)


def test_unknown_parameter_of_init_is_named_with_the_known_ones() -> None:
    class Unknown(MinimalClientIO):
        def __init__(self, camera: int, debugMode: bool) -> None:
            pass

    with pytest.raises(UserCodeError, match="unknown parameter 'camera'. Known parameters: clientInitSpecs, debugMode"):
        check_client_io(Unknown)


def test_complete_class_is_accepted() -> None:
    check_client_io(MinimalClientIO)


@pytest.mark.parametrize(("data", "words"), [
    (None, "Got NoneType"), ([1.0, 2.0], "Got list"), ({}, "Got {}"), ({"x": [1.0]}, "Got 'x': list"),
    ({1: np.zeros(2)}, "names of type str"),
], ids=["nothing", "list", "empty dict", "list in a dict", "number as name"])
def test_input_that_is_no_array_is_refused(data: Any, words: str) -> None:
    class Wrong(MinimalClientIO):
        def getInputData(self, idx: int) -> Any:
            return data

    with pytest.raises(UserCodeError, match=f"getInputData must return.*{words}"), \
            opened_client_io(Wrong, **_OFFERED) as client_io:
        client_io.input_data(1)


@pytest.mark.parametrize("method", ["__init__", "finalize"])
def test_stop_iteration_elsewhere_is_a_mistake(method: str) -> None:
    class Ending(MinimalClientIO):
        pass

    def stop(self: Any) -> None:
        raise StopIteration

    setattr(Ending, method, stop)
    with pytest.raises(UserCodeError, match=f"{method} must not raise StopIteration"), \
            opened_client_io(Ending, **_OFFERED):
        pass
