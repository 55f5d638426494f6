"""Runs SavedModels through TensorFlow's Python package, where its C library cannot be opened directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expman.runtimes.session_runs import IN_CALLERS_THREAD, with_timeout
from expman.runtimes.tensorflow_notices import import_tensorflow
from expman.wire.data_types import NUMBER_OF_NUMPY_DTYPE
from expman.wire.protos import types_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    import tensorflow as tf

# What the Python package writes ahead of a kernel's own words.
_PREAMBLE = "Graph execution error:\n\n"


class V1Session:
    """A loaded SavedModel in a session of TensorFlow 1, with the interface of `CApiSession`."""

    def __init__(self, folder: Path, *, tag: str, config: bytes, in_callers_thread: bool = True) -> None:
        import_tensorflow()
        import tensorflow as tf

        self._options = tf.compat.v1.RunOptions.FromString(IN_CALLERS_THREAD if in_callers_thread else b"")
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=tf.compat.v1.ConfigProto.FromString(config))
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [tag], str(folder))
        except tf.errors.OpError as error:
            self.close()
            raise StatusError(error.error_code, error.message) from error
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise StatusError(tf.errors.UNKNOWN, str(error)) from error
        self.meta_graph: bytes = meta_graph.SerializeToString()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors; see `CApiSession.run`."""
        import tensorflow as tf

        options = self._options
        if timeout_seconds is not None:
            options = tf.compat.v1.RunOptions.FromString(with_timeout(timeout_seconds))
        for index, (name, array) in enumerate(feeds.items()):
            self._check_type(index, name, array)
        try:
            values = self._session.run([self._tensor(name) for name in fetches], dict(feeds), options=options)
        except tf.errors.OpError as error:
            raise StatusError(error.error_code, error.message.removeprefix(_PREAMBLE)) from error
        # A string scalar is plain `bytes`, which as an array would lose trailing zero bytes.
        return [np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value) for value in values]

    def is_quick(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Returns False: the Python package is never quick."""
        return False

    def device_types(self) -> set[str]:
        """Returns what the model can run on: 'CPU', 'GPU' or others."""
        return {device.device_type for device in self._session.list_devices()}

    def close(self) -> None:
        """Gives the model's memory back."""
        self._session.close()

    def _tensor(self, name: str) -> tf.Tensor:
        try:
            return self._session.graph.get_tensor_by_name(name)
        except (KeyError, ValueError) as error:
            raise StatusError(Code.NOT_FOUND, f"The model's graph has no tensor '{name}'.") from error

    def _check_type(self, index: int, name: str, array: np.ndarray) -> None:
        """Refuses what TensorFlow's Python package would convert."""
        wanted, given = self._tensor(name).dtype.as_datatype_enum, NUMBER_OF_NUMPY_DTYPE[array.dtype]
        if wanted != given:
            raise StatusError(Code.INVALID_ARGUMENT, f"Expects arg[{index}] to be {_type_name(wanted)} but "
                                                     f"{_type_name(given)} is provided")


def _type_name(number: int) -> str:
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()
