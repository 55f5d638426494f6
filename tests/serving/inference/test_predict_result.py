"""The bytes that Predict answers are those of the official message."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from expman.serving.inference.predict_result import PredictResult

_OUTPUTS = {
    "float": np.array([[1.5, -2], [np.inf, 3]], np.float32), "double scalar": np.float64(0.1), "empty": np.zeros((0, 3), np.float32),
    "int64": np.array([-(2**63), -1, 0, 127, 128, 2**63 - 1]), "uint8": np.arange(200, dtype=np.uint8),
    "bool": np.array([True, False]), "half": np.array([0.5, -1], np.float16), "complex": np.array([1 + 2j], np.complex64),
    "strings": np.array([b"a", "zwölf".encode(), b""], object), "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "largest": np.random.default_rng(0).random((300, 300)), "": np.zeros(1, np.int32), "ü" * 100: np.zeros(1, np.int32),
}


@pytest.mark.parametrize("typed_fields", [True, False])
def test_each_output_and_the_model_come_back(typed_fields: bool) -> None:
    answer = PredictResult("m", 2**40, "serving_default", _OUTPUTS, typed_fields)
    message = predict_pb2.PredictResponse.FromString(answer.SerializeToString())
    assert set(message.outputs) == set(_OUTPUTS)
    for alias, array in _OUTPUTS.items():
        decoded = tf.make_ndarray(message.outputs[alias])
        assert decoded.dtype == np.asarray(array).dtype and np.array_equal(decoded, array), alias
        assert bool(message.outputs[alias].tensor_content) is (not typed_fields and alias not in ("strings", "empty"))
    spec = message.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 2**40, "serving_default")
    assert answer.message() == message
