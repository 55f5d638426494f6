"""Answers of Predict, written to the wire without intermediate messages.

Copying a tensor of a megabyte from message to message takes protobuf longer (1.5 ms) than all else that a server does with it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expman.wire.protos import model_pb2, predict_pb2
from expman.wire.tensor_codec import serialized_tensor
from expman.wire.varints import varint

_LENGTH_DELIMITED = 2
_FIELDS = predict_pb2.PredictResponse.DESCRIPTOR.fields_by_name


def _tag(number: int) -> bytes:
    return varint(number << 3 | _LENGTH_DELIMITED)


_OUTPUTS, _MODEL_SPEC = _tag(_FIELDS["outputs"].number), _tag(_FIELDS["model_spec"].number)
_KEY, _VALUE = _tag(1), _tag(2)  # Of an entry of a map.


@dataclass(frozen=True)
class PredictResult:
    """Stands for a PredictResponse.

    Attributes:
        model_name, version, signature_name: what gave the answer.
        outputs: alias -> array.
        typed_fields: as for `to_tensor_proto`.
    """

    model_name: str
    version: int
    signature_name: str
    outputs: Mapping[str, np.ndarray]
    typed_fields: bool

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that messages have for it
        """The bytes of the message."""
        pieces: list[bytes | memoryview] = []
        for alias, array in self.outputs.items():
            tensor = serialized_tensor(array, typed_fields=self.typed_fields)
            size = sum(map(len, tensor))
            head = _key(alias) + _VALUE + varint(size)
            pieces += (_OUTPUTS, varint(len(head) + size), head, *tensor)
        pieces.append(_model_spec(self.model_name, self.version, self.signature_name))
        return b"".join(pieces)

    def message(self) -> predict_pb2.PredictResponse:
        """The message itself."""
        return predict_pb2.PredictResponse.FromString(self.SerializeToString())


@functools.lru_cache(maxsize=1024)
def _key(alias: str) -> bytes:
    name = alias.encode("utf-8")
    return _KEY + varint(len(name)) + name


@functools.lru_cache(maxsize=1024)
def _model_spec(name: str, version: int, signature_name: str) -> bytes:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature_name)
    spec.version.value = version
    serialized = spec.SerializeToString()
    return _MODEL_SPEC + varint(len(serialized)) + serialized
