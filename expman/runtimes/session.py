"""Opens SavedModels: with TensorFlow's C library where it can be opened, else with TensorFlow's Python package."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np

from expman.runtimes.tensorflow_c_api import tensorflow_library
from expman.runtimes.tensorflow_c_session import CApiSession
from expman.wire.protos import config_pb2

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionOptions:
    """Options of a model's session: devices, threads, memory.

    Attributes:
        on_gpu: False keeps to the CPU.
        expects_gpu: warn where there is none.
        gpu_memory_fraction: of each GPU's memory, taken at once; 0: as it is needed, since a training may use the same GPU.
        intra_op_threads: threads that one operation may use; 0: one a core.
        inter_op_threads: threads that run operations at the same time; 0: one a core; -1: those of the requests, where that
            is faster (see `CApiSession.run`).
        uses_xla: compile the model's operations together.
        base_config: a serialized ConfigProto that has the say wherever the other attributes are at their defaults.
    """

    on_gpu: bool = False
    expects_gpu: bool = False
    gpu_memory_fraction: float = 0.0
    intra_op_threads: int = 0
    # A call of a small model takes less time than handing it to a pool of threads, and requests come in several threads
    # anyway.
    inter_op_threads: int = -1
    uses_xla: bool = False
    base_config: bytes = b""

    @property
    def in_callers_thread(self) -> bool:
        """True when runs that need no other thread stay in that of the request."""
        threads = config_pb2.ConfigProto.FromString(self.base_config).inter_op_parallelism_threads
        return self.inter_op_threads < 0 and threads <= 0

    def serialized(self) -> bytes:
        """As a ConfigProto."""
        config = config_pb2.ConfigProto.FromString(self.base_config)
        config.allow_soft_placement = True
        if self.inter_op_threads >= 0:
            config.inter_op_parallelism_threads = self.inter_op_threads
        # With less than none, TensorFlow would run everything in the threads of the requests, and heed no timeout.
        config.inter_op_parallelism_threads = max(0, config.inter_op_parallelism_threads)
        if self.intra_op_threads:
            config.intra_op_parallelism_threads = self.intra_op_threads
        if not self.on_gpu:
            config.device_count["GPU"] = 0
        elif self.gpu_memory_fraction:
            config.gpu_options.per_process_gpu_memory_fraction = self.gpu_memory_fraction
        else:
            config.gpu_options.allow_growth = True
        if self.uses_xla:
            config.graph_options.optimizer_options.global_jit_level = config_pb2.OptimizerOptions.ON_1
        return config.SerializeToString()


class SavedModelSession(Protocol):
    """A loaded SavedModel; see `CApiSession`."""

    meta_graph: bytes

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors."""

    def is_quick(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Tells whether a run takes no longer than handing it over to another thread would."""

    def device_types(self) -> set[str]:
        """Returns the types of devices that the model can run on."""

    def close(self) -> None:
        """Gives the model's memory back."""


def open_saved_model(folder: Path, *, tag: str, options: SessionOptions) -> SavedModelSession:
    """Loads a SavedModel.

    Raises:
        StatusError: TensorFlow cannot load it.
    """
    session = session_type()(folder, tag=tag, config=options.serialized(), in_callers_thread=options.in_callers_thread)
    if options.expects_gpu and "GPU" not in session.device_types():
        _LOGGER.warning("serve_on_gpu is set, but TensorFlow finds no GPU here: serving on the CPU")
    return session


@functools.cache
def session_type() -> Callable[..., SavedModelSession]:
    """Returns the class that can load and run a model here; looked up once for the process."""
    try:
        tensorflow_library()
    except OSError as error:
        _LOGGER.warning("TensorFlow's C library cannot be opened (%s): the server uses TensorFlow's Python package, "
                        "which takes longer to start and more memory", error)
        from expman.runtimes.tensorflow_v1_session import V1Session

        return V1Session
    return CApiSession


def tensorflow_version() -> str:
    """The version of the TensorFlow that runs the models; its package has other names on some platforms."""
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "unknown"
