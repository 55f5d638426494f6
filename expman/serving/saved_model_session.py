"""Opens SavedModels: with TensorFlow's C library where it can be opened, else with TensorFlow's Python package."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from expman.serving.protos import config_pb2
from expman.serving.tensorflow_c_api import CApiSession, tensorflow_library

_LOGGER = logging.getLogger(__name__)


class SavedModelSession(Protocol):
    """A loaded SavedModel; see `CApiSession`."""

    meta_graph: bytes

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Computes tensors."""

    def device_types(self) -> set[str]:
        """What the model can run on."""

    def close(self) -> None:
        """Gives the model's memory back."""


def open_saved_model(folder: Path, *, tag: str, on_gpu: bool) -> SavedModelSession:
    """Loads a SavedModel.

    Arguments:
        on_gpu: take GPU memory as it is needed, since a training may use the same GPU; False keeps to the CPU.

    Raises:
        TensorFlowError, OSError, RuntimeError, tf.errors.OpError: TensorFlow cannot load it.
    """
    # Operations run in the request's own thread (each may still use all cores): a call of a small model takes a third of
    # the time that handing it to a pool of threads takes, and requests come in several threads anyway.
    config = config_pb2.ConfigProto(inter_op_parallelism_threads=-1, allow_soft_placement=True)
    if on_gpu:
        config.gpu_options.allow_growth = True
    else:
        config.device_count["GPU"] = 0
    return session_type()(folder, tag=tag, config=config.SerializeToString())


@functools.cache
def session_type() -> type[SavedModelSession]:
    """What can load and run a model here; looked up once for the process."""
    try:
        tensorflow_library()
    except OSError as error:
        _LOGGER.warning("TensorFlow's C library cannot be opened (%s): the server uses TensorFlow's Python package, "
                        "which takes longer to start and more memory", error)
        from expman.serving.tensorflow_v1_session import V1Session

        return V1Session
    return CApiSession
