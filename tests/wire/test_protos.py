"""The message types come without TensorFlow, and are those that TensorFlow uses when it is imported too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.project import ROOT

_ALONE = """
import sys
from expman.wire import protos
assert "tensorflow" not in sys.modules
request = protos.predict_pb2.PredictRequest()
request.inputs["x"].float_val.append(1)
assert "tensorflow" not in sys.modules
"""
_THEN_TENSORFLOW = _ALONE + """
import keras
import tensorflow as tf
assert type(tf.make_tensor_proto(1.0)) is protos.tensor_pb2.TensorProto
assert keras.layers.Dense(3)(tf.ones([2, 2])).shape == (2, 3)
"""
_TENSORFLOW_FIRST = """
import tensorflow as tf
from expman.wire import protos
import sys
assert sys.modules["tensorflow"] is tf
assert type(tf.make_tensor_proto(1.0)) is protos.tensor_pb2.TensorProto
"""


@pytest.mark.parametrize("program", [_ALONE, _THEN_TENSORFLOW, _TENSORFLOW_FIRST], ids=["alone", "before", "after"])
def test_messages_go_with_or_without_tensorflow(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
