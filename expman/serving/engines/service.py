"""The service that `--start_server` offers, whichever engine does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expman.serving.workers import cores_for_each

# Sensible for a model that a few clients ask at the same time; users copy it to change it.
DEFAULT_BATCHING_FILE = Path(__file__).with_name("batching_parameters.pbtxt")
_NUM_BATCHES_AT_A_TIME = 2  # In that file.


@dataclass(frozen=True, kw_only=True)
class Service:
    """One model on one machine.

    Attributes:
        base_path: holds one folder a version, named 1, 2, 3 …; absolute.
        model_name: what clients call it.
        address: where to listen.
        port: for gRPC; 0 takes a free one.
        rest_port: for REST; 0 for none.
        on_gpu: run the model on GPUs.
        gpu_memory_fraction: of each GPU's memory; 0: the engine's own choice.
        max_message_bytes: the largest gRPC message, both directions.
        batching_file: BatchingParameters as text: join requests that arrive together; None: run each by itself.
        num_workers: processes of the embedded server that share the ports.
    """

    base_path: Path
    model_name: str
    address: str
    port: int
    rest_port: int = 0
    on_gpu: bool = False
    gpu_memory_fraction: float = 0.0
    max_message_bytes: int = 512 * 2**20
    batching_file: Path | None = None
    num_workers: int = 1

    @property
    def intra_op_threads(self) -> int:
        """Returns the threads that one operation may use; 0: the engine's own choice.

        With the default batching, two batches run at the same time, and each gets its slot of cores.
        """
        if self.on_gpu or self.batching_file != DEFAULT_BATCHING_FILE:
            return 0
        return cores_for_each(_NUM_BATCHES_AT_A_TIME * self.num_workers)
