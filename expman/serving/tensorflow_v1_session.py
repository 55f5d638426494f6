"""Runs SavedModels through TensorFlow's Python package, where its C library cannot be opened directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from expman.serving.tensorflow_error import TensorFlowError
from expman.tensorflow_notices import import_tensorflow

# What the Python package writes ahead of a kernel's own words.
_PREAMBLE = "Graph execution error:\n\n"


class V1Session:
    """A loaded SavedModel in a session of TensorFlow 1, with the interface of `CApiSession`."""

    def __init__(self, folder: Path, *, tag: str, config: bytes) -> None:
        import_tensorflow()
        import tensorflow as tf

        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=tf.compat.v1.ConfigProto.FromString(config))
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [tag], str(folder))
        except tf.errors.OpError as error:
            self.close()
            raise TensorFlowError(error.error_code, error.message) from error
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise TensorFlowError(tf.errors.UNKNOWN, str(error)) from error
        self.meta_graph: bytes = meta_graph.SerializeToString()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Computes tensors; see `CApiSession.run`."""
        import tensorflow as tf

        try:
            values = self._session.run(list(fetches), dict(feeds))
        except tf.errors.OpError as error:
            raise TensorFlowError(error.error_code, error.message.removeprefix(_PREAMBLE)) from error
        # A string scalar is plain `bytes`, which as an array would lose trailing zero bytes.
        return [np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value) for value in values]

    def device_types(self) -> set[str]:
        """What the model can run on: 'CPU', 'GPU' …"""
        return {device.device_type for device in self._session.list_devices()}

    def close(self) -> None:
        """Gives the model's memory back."""
        self._session.close()
