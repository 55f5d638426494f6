"""Makes the services' messages of JSON: arrays for Predict, tf.Examples for Classify and Regress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from expman.serving.rest_api.json_documents import json_text, json_type_name
from expman.serving.rest_api.json_tensors import array_of, array_or_none, base64_bytes, is_base64
from expman.wire.protos import example_pb2, input_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

_INSTANCES, _INPUTS = "instances", "inputs"
_EXAMPLES, _CONTEXT = "examples", "context"
_SIGNATURE_NAME = "signature_name"
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request asks for; '' leaves it to the server.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no string.
    """
    name = document.get(_SIGNATURE_NAME, "")
    if type(name) is not str:
        raise _error_of(document, f"not formatted correctly. '{_SIGNATURE_NAME}' key must be a string value.")
    return name


def asks_for_rows(document: Mapping[str, Any]) -> bool:
    """Tells whether a request to predict lists instances (and wants predictions), rather than inputs (and outputs).

    Raises:
        StatusError: INVALID_ARGUMENT, it does neither or both.
    """
    if _INSTANCES in document and _INPUTS in document:
        raise _error_of(
            document, f"Not formatted correctly expecting only one of '{_INPUTS}' or '{_INSTANCES}' keys to exist ")
    if _INSTANCES not in document and _INPUTS not in document:
        raise _error("Missing 'inputs' or 'instances' key")
    return _INSTANCES in document


def predict_inputs(document: Mapping[str, Any], inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """The arrays that a request to predict brings.

    Arguments:
        inputs: those of the signature, at least one: they tell the names and the types.

    Returns:
        Input name -> array; instances are joined along a new first dimension.

    Raises:
        StatusError: INVALID_ARGUMENT, the request does not fit the signature, or its values not the types.
    """
    arrays = predict_inputs_or_none(document, inputs)
    if arrays is not None:
        return arrays
    if asks_for_rows(document):
        raise _first_error_of_rows(document[_INSTANCES], inputs)
    raise _first_error_of_columns(document[_INPUTS], inputs)


def predict_inputs_or_none(document: Mapping[str, Any], inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray] | None:
    """As `predict_inputs`, but None where values do not fit: to find out which one takes far longer than all the rest.

    Raises:
        StatusError: INVALID_ARGUMENT, something else is wrong.
    """
    if not asks_for_rows(document):
        return _columns(document[_INPUTS], inputs)
    instances = document[_INSTANCES]
    if type(instances) is not list:
        raise _error_of(document, f"Excepting '{_INSTANCES}' to be an list/array")
    if not instances:
        raise _error_of(document, f"No values in '{_INSTANCES}' array")
    return _rows(instances, inputs)


def _columns(value: Any, inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray] | None:
    if not _is_named(value):
        if len(inputs) > 1:
            raise _error("inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                         "tensorinfo_map")
        value = dict.fromkeys(inputs, value)
    arrays = {}
    for name in sorted(inputs):
        if name not in value:
            raise _error(f"Missing named input: {name} in '{_INPUTS}' object.")
        array = array_or_none(value[name], inputs[name].dtype)
        if array is None:
            return None
        arrays[name] = array
    return arrays


def _first_error_of_columns(value: Any, inputs: Mapping[str, TensorInfo]) -> StatusError:
    values = value if _is_named(value) else dict.fromkeys(inputs, value)
    for name in sorted(inputs):
        try:
            array_of(values[name], inputs[name].dtype)
        except StatusError as error:
            return error
    raise AssertionError("inputs that fit one by one fit together")


def _rows(instances: Sequence[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray] | None:
    if not _is_named(instances[0]):
        if len(inputs) > 1:
            raise _error("instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                         "tensorinfo_map")
        name, = inputs
        columns = None if any(map(_is_named, instances)) else {name: instances}
    else:
        names = set(inputs)
        are_alike = set(map(type, instances)) == {dict} and all(instance.keys() == names for instance in instances)
        columns = {name: list(map(itemgetter(name), instances)) for name in inputs} if are_alike else None
    if columns is None:
        return None
    arrays = {name: array_or_none(column, inputs[name].dtype) for name, column in columns.items()}
    return None if any(array is None for array in arrays.values()) else arrays


def _is_named(instance: Any) -> bool:
    """Tells whether an instance is an object with a value for each input."""
    return type(instance) is dict and not is_base64(instance)


def _first_error_of_rows(instances: Sequence[Any], inputs: Mapping[str, TensorInfo]) -> StatusError:
    """Finds the first instance that TensorFlow Serving, which takes one after the other, would refuse."""
    shapes: dict[str, tuple[int, ...]] = {}
    are_named = _is_named(instances[0])
    for index, instance in enumerate(instances):
        if are_named != _is_named(instance):
            return _error(f"Expecting {'object but got list' if are_named else 'value/list but got object'} "
                          f"at item {index} of input list")
        values = instance if are_named else {next(iter(inputs)): instance}
        for name, value in values.items():
            try:
                if name not in inputs:
                    raise _error(f"JSON object: does not have named input: {name}")
                shape = array_of(value, inputs[name].dtype).shape
                _check_shape(shapes.setdefault(name, shape), shape)
            except StatusError as error:
                return _error(f"Failed to process element: {index} {f'key: {name} ' if are_named else ''}of '{_INSTANCES}' "
                              f"list. Error: {error.code.name}: {error.message}")
        if are_named and values.keys() != inputs.keys():
            return _error(f"Failed to process element: {index} of '{_INSTANCES}' list. JSON object: {json_text(instance)} "
                          f"keys must be equal to: {','.join(sorted(inputs))}")
    raise AssertionError("instances that fit one by one fit together")


def _check_shape(first: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if math.prod(first) != math.prod(shape):
        raise _error(f"Expecting tensor size: {math.prod(first)} but got: {math.prod(shape)}")
    if first != shape:
        raise _error(f"Expecting shape [{','.join(map(str, first))}] but got: [{','.join(map(str, shape))}]")


def examples_input(document: Mapping[str, Any]) -> input_pb2.Input:
    """The tf.Examples that a request to classify or regress brings; its context goes with each of them.

    Features are int64 for whole numbers and booleans, float for others, bytes for strings and `b64` objects.

    Raises:
        StatusError: INVALID_ARGUMENT, there are none, or one cannot be made a tf.Example.
    """
    message = input_pb2.Input()
    examples = message.example_list.examples
    if _CONTEXT in document:
        message.example_list_with_context.context.CopyFrom(_example(document[_CONTEXT]))
        examples = message.example_list_with_context.examples
    if _EXAMPLES not in document:
        raise _error_of(document, f"When method is classify, key '{_EXAMPLES}' is expected and was not found")
    if type(document[_EXAMPLES]) is not list:
        raise _error_of(document, f"Expecting '{_EXAMPLES}' value to be an list/array")
    if not document[_EXAMPLES]:
        raise _error_of(document, f"'{_EXAMPLES}' value is an empty array")
    examples.extend(map(_example, document[_EXAMPLES]))
    return message


def _example(value: Any) -> example_pb2.Example:
    if type(value) is not dict:
        raise _error(f"Example must be JSON object but got JSON {json_type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        _fill_feature(example.features.feature[name], name, content if type(content) is list else [content])
    return example


def _fill_feature(feature: Any, name: str, values: Sequence[Any]) -> None:
    for value in values:
        kind = _feature_kind(name, value)
        if feature.WhichOneof("kind") not in (None, kind):
            raise _error(f"Unexpected element type in feature: {name} expecting type: "
                         f"{feature.WhichOneof('kind').removesuffix('_list')}")
        getattr(feature, kind).value.append(_feature_value(value))


def _feature_value(value: Any) -> bytes | float | int:
    if type(value) is str:
        return value.encode("utf-8")
    if type(value) is dict:
        return base64_bytes(value)
    if type(value) is float:
        if math.isfinite(value) and abs(value) > _LARGEST_FLOAT:
            raise _error(f"Cannot convert JSON value: {json_text(value)} to float without loss of precision.")
        return value
    return int(value)  # Booleans too.


def _feature_kind(name: str, value: Any) -> str:
    if type(value) is str or is_base64(value):
        return "bytes_list"
    if type(value) is float:
        return "float_list"
    if type(value) is int and value >= 2**63:
        raise _error(f"Feature: {name} has uint64 element. Only int64 is supported.")
    if type(value) in (int, bool):
        return "int64_list"
    raise _error(f"Feature: {name} has element with unexpected JSON type: {json_type_name(value)}")


def _error(words: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, words)


def _error_of(document: Mapping[str, Any], words: str) -> StatusError:
    return _error(f"JSON Value: {json_text(document)} {words}")
