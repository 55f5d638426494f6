"""The user's Client_IO is built with what it declares, and what it returns is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expman.client.client_io import ClientIO, check_client_io, opened_client_io
from expman.errors import UserCodeError
from expman.wire.protos import predict_pb2
from expman.wire.tensor_codec import to_tensor_proto

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


@pytest.mark.parametrize(("method", "expected"), [
    (lambda self, idx: np.array(idx), 4), (lambda self, number: np.array(number), 4), (lambda self, index: np.array(index), 3),
    (lambda self, number=7: np.array(number), 4), (lambda self, index, scale=10: np.array(index * scale), 30),
    (lambda self, index, idx: np.array([index, idx]), [3, 4]), (lambda self, *given: np.array(given[0]), 4),
    (lambda self, *, index: np.array(index), 3), (staticmethod(lambda idx: np.array(idx)), 4),
    (lambda self, idx, **others: np.array([idx, len(others)]), [4, 0])])
def test_idx_counts_from_1_and_index_from_0_and_another_name_is_idx(method: Any, expected: Any) -> None:
    counting = type("Counting", (MinimalClientIO,), {"getInputData": method})
    check_client_io(counting)
    with opened_client_io(counting, **_OFFERED) as client_io:
        np.testing.assert_array_equal(client_io.input_data(4), expected)


@pytest.mark.parametrize(("method", "expected"), [
    (lambda self, result: self.seen(result), ["message"]), (lambda self, answer: self.seen(answer), ["message"]),
    (lambda self, outputs: self.seen(outputs), ["arrays"]),
    (lambda self, result, outputs: self.seen(result, outputs), ["message", "arrays"]),
    (lambda self, outputs, result: self.seen(result, outputs), ["message", "arrays"]),
    (lambda self, outputs, answer: self.seen(answer, outputs), ["message", "arrays"]),
    (lambda self, answer, *, outputs=None: self.seen(answer, outputs), ["message", "arrays"])])
def test_result_and_outputs_are_handed_over_in_any_order(method: Any, expected: list[str]) -> None:
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(to_tensor_proto(np.array([1.5, 2], np.float32), typed_fields=False))
    kinds = []

    def seen(self: Any, *given: Any) -> None:
        kinds.extend("message" if value is response else "arrays" for value in given)
        for arrays in (value for value in given if value is not response):
            np.testing.assert_array_equal(arrays["y"], np.array([1.5, 2], np.float32))

    decoding = type("Decoding", (MinimalClientIO,), {"decodeResponse": method, "seen": seen})
    check_client_io(decoding)
    with opened_client_io(decoding, **_OFFERED) as client_io:
        client_io.decode_response(response)
    assert kinds == expected


@pytest.mark.parametrize(("name", "method", "words"), [
    ("getInputData", lambda self, index, camera, zoom: None, "unknown parameter 'zoom'. Known parameters: idx, index"),
    ("decodeResponse", lambda self, result, output: None, "unknown parameter 'output'. Known parameters: result, outputs"),
    ("finalize", lambda self, error: None, "unknown parameter 'error'. Known parameters: none")])
def test_a_parameter_that_no_method_gets_is_named_with_the_known_ones(name: str, method: Any, words: str) -> None:
    with pytest.raises(UserCodeError, match=f"method {name}.* declares the {words}"):
        check_client_io(type("Wrong", (MinimalClientIO,), {name: method}))


@pytest.mark.parametrize("heads", [[], [""], [1], 3, ""])
def test_served_heads_that_name_nothing_are_refused(heads: Any) -> None:
    with pytest.raises(UserCodeError, match="served_heads must be a list of outputs.*Got"), \
            opened_client_io(type("Wrong", (MinimalClientIO,), {"served_heads": heads}), **_OFFERED) as client_io:
        assert client_io.served_heads


@pytest.mark.parametrize("made", [None, 3, "text", {}, object()])
def test_what_is_made_of_no_class_must_have_the_methods(made: Any) -> None:
    with pytest.raises(UserCodeError, match="Client_IO must make an object with the method getInputData"):
        ClientIO(lambda: made, client_init_specs={}, debug=False)
