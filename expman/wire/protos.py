"""The message types of TensorFlow and TensorFlow Serving, imported without starting TensorFlow.

`import tensorflow.core.…` first runs the whole of TensorFlow's own `__init__`, which takes seconds and hundreds of
megabytes. Here an empty package takes its place while the generated modules, which need nothing of it, are imported. A later
`import tensorflow` works as ever and finds the same message types.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def empty_package_for_tensorflow() -> Iterator[None]:
    """Lets submodules of `tensorflow` be imported by themselves; does nothing where TensorFlow is loaded or missing."""
    spec = None if "tensorflow" in sys.modules else importlib.util.find_spec("tensorflow")
    if spec is None:
        yield
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with empty_package_for_tensorflow():
    from tensorflow.core.example import example_pb2
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        input_pb2,
        model_management_pb2,
        model_pb2,
        predict_pb2,
        prediction_log_pb2,
        regression_pb2,
    )
    from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

__all__ = [
    "classification_pb2", "config_pb2", "example_pb2", "file_system_storage_path_source_pb2", "get_model_metadata_pb2",
    "get_model_status_pb2", "inference_pb2", "input_pb2", "meta_graph_pb2", "model_management_pb2", "model_pb2",
    "model_server_config_pb2", "predict_pb2", "prediction_log_pb2",
    "regression_pb2", "saved_model_pb2", "tensor_pb2", "tensor_shape_pb2", "types_pb2",
]
