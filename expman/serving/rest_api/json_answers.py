"""Writes answers as TensorFlow Serving does, down to the line breaks."""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format

from expman.serving.rest_api.json_numbers import number_texts
from expman.serving.rest_api.json_tensors import type_name
from expman.wire.data_types import NUMBER_OF_NUMPY_DTYPE
from expman.wire.protos import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, regression_pb2
from expman.wire.status import Code, StatusError

_BYTES_SUFFIX = "_bytes"
_INDENT = "    "
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def row_answer(outputs: Mapping[str, np.ndarray]) -> bytes:
    """`{"predictions": …}`: one value an instance, or one object with all outputs of it.

    Arguments:
        outputs: name -> array [batch, …].

    Raises:
        StatusError: INVALID_ARGUMENT, an output is not batched as the others are, or JSON cannot carry its type.
    """
    _check_batches(outputs)
    names = sorted(outputs)
    if len(names) == 1:
        rows = _rows(names[0], outputs[names[0]], depth=2)
        return _document("predictions", _closed_below(", ".join(rows)))
    columns = [_rows(name, outputs[name], depth=3) for name in names]
    keys = [f"{_INDENT * 3}{_quoted(name)}: " for name in names]
    items = [f"\n{_INDENT * 2}{{\n" + ",\n".join(map(str.__add__, keys, row)) + f"\n{_INDENT * 2}}}" for row in zip(*columns)]
    return _document("predictions", _closed_below(",".join(items)))


def column_answer(outputs: Mapping[str, np.ndarray]) -> bytes:
    """`{"outputs": …}`: the output's value, or an object with that of each.

    Arguments:
        outputs: name -> array of any shape.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no output, or JSON cannot carry its type.
    """
    if not outputs:
        raise StatusError(Code.INVALID_ARGUMENT, "Cannot convert empty tensor map to JSON")
    if len(outputs) == 1:
        (name, array), = outputs.items()
        return _document("outputs", _indented(name, array, depth=1))
    members = [f"{_INDENT * 2}{_quoted(name)}: {_indented(name, outputs[name], depth=2)}" for name in sorted(outputs)]
    return _document("outputs", "{\n" + ",\n".join(members) + f"\n{_INDENT}}}")


def classification_answer(result: classification_pb2.ClassificationResult) -> bytes:
    """`{"results": …}`: for each example a list of [label, score].

    Raises:
        StatusError: INVALID_ARGUMENT, there is no result.
    """
    if not result.classifications:
        raise StatusError(Code.INVALID_ARGUMENT, "Cannot convert empty ClassificationResults to JSON")
    rows = []
    for classification in result.classifications:
        scores = number_texts(np.array([choice.score for choice in classification.classes], np.float32))
        rows.append(_bracketed(f"[{_quoted(choice.label)}, {score}]"
                               for choice, score in zip(classification.classes, scores)))
    return _document("results", _closed_below(", ".join(rows)))


def regression_answer(result: regression_pb2.RegressionResult) -> bytes:
    """`{"results": …}`: one number an example.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no result.
    """
    if not result.regressions:
        raise StatusError(Code.INVALID_ARGUMENT, "Cannot convert empty RegressionResults to JSON")
    values = np.array([regression.value for regression in result.regressions], np.float32)
    return _document("results", _bracketed(number_texts(values)))


def status_answer(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """`{"model_version_status": …}`."""
    return _message_text(response).encode("utf-8")


def metadata_answer(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """`{"model_spec": …, "metadata": {"signature_def": …}}`."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (f'{{\n"model_spec":{_message_text(response.model_spec)},\n'
            f'"metadata": {{"signature_def": {_message_text(signatures)}}}\n}}\n').encode()


def error_answer(message: str) -> bytes:
    """`{"error": …}`."""
    return _document("error", _quoted(message))


def _check_batches(outputs: Mapping[str, np.ndarray]) -> None:
    if not outputs:
        raise StatusError(Code.INVALID_ARGUMENT, "Cannot convert empty tensor map to JSON")
    batch_size = None
    for name in sorted(outputs):
        shape = outputs[name].shape
        if not shape:
            raise StatusError(Code.INVALID_ARGUMENT, f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, shape[0]):
            raise StatusError(Code.INVALID_ARGUMENT, (
                f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {batch_size}"))
        batch_size = shape[0]


def _rows(name: str, array: np.ndarray, *, depth: int) -> list[str]:
    """The values along the first dimension, each on one line.

    Arguments:
        depth: how many objects and lists each stands in.
    """
    template = _one_line_template(array.shape[1:])
    return _filled(template, _element_texts(name, array, depth=depth + array.ndim - 1), array.shape)


def _indented(name: str, array: np.ndarray, *, depth: int) -> str:
    """A value with each element on a line of its own."""
    texts = _element_texts(name, array, depth=depth + array.ndim)
    if not array.ndim:
        return texts[0]
    rows = _filled(_indented_template(array.shape[1:], depth + 1), texts, array.shape)
    return _list_over_lines(rows, depth)


def _filled(template: str, texts: Sequence[str], shape: Sequence[int]) -> list[str]:
    """One text a row, so that the interpreter can serve other threads between two rows."""
    size = math.prod(shape[1:])
    if len(shape) == 1:
        return list(texts)
    return [template % tuple(texts[index * size:(index + 1) * size]) for index in range(shape[0])]


def _one_line_template(shape: Sequence[int]) -> str:
    return _bracketed([_one_line_template(shape[1:])] * shape[0]) if shape else "%s"


def _indented_template(shape: Sequence[int], depth: int) -> str:
    return _list_over_lines([_indented_template(shape[1:], depth + 1)] * shape[0], depth) if shape else "%s"


def _list_over_lines(texts: Sequence[str], depth: int) -> str:
    if not texts:
        return "[]"
    begin = "\n" + _INDENT * (depth + 1)
    return f"[{begin}{f',{begin}'.join(texts)}\n{_INDENT * depth}]"


def _bracketed(texts: Any) -> str:
    return f"[{', '.join(texts)}]"


def _closed_below(text: str) -> str:
    """A list that ends on a line of its own, as TensorFlow Serving's do whose elements stand on one."""
    return f"[{text}\n{_INDENT}]" if text else "[]"


def _document(key: str, text: str) -> bytes:
    # Strings that are no UTF-8 come out as they went in.
    return f'{{\n{_INDENT}"{key}": {text}\n}}'.encode("utf-8", "surrogateescape")


def _element_texts(name: str, array: np.ndarray, *, depth: int) -> list[str]:
    """Returns the text of each element of an output.

    Arguments:
        depth: how many objects and lists each stands in.
    """
    kind = array.dtype.kind
    if kind in "iu":
        return list(map(str, array.ravel().tolist()))
    if kind == "b":
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if kind == "O":
        write = functools.partial(_base64_text, depth=depth) if name.endswith(_BYTES_SUFFIX) else _string_text
        return list(map(write, array.ravel().tolist()))
    if kind == "c":
        raise StatusError(Code.INVALID_ARGUMENT, "Failed to write JSON value for tensor type: "
                                                 f"{type_name(NUMBER_OF_NUMPY_DTYPE[array.dtype])}")
    return number_texts(array if array.dtype in (np.float32, np.float64) else array.astype(np.float32))


def _base64_text(value: bytes, *, depth: int) -> str:
    begin = "\n" + _INDENT * depth
    return f'{{{begin}{_INDENT}"b64": "{base64.b64encode(value).decode("ascii")}"{begin}}}'


def _string_text(value: bytes) -> str:
    return _quoted(value.decode("utf-8", "surrogateescape"))


def _message_text(message: Any) -> str:
    return json_format.MessageToJson(message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True,
                                     indent=1, ensure_ascii=False) + "\n"
