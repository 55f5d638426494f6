"""The parameters by which requests are joined, in the terms of TensorFlow Serving's BatchingParameters."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.errors import ServingError
from expman.serving.config_files import BatchingParametersMessage, read_text_message

_MESSAGE_NAME = "tensorflow.serving.BatchingParameters"


@dataclass(frozen=True, kw_only=True)
class BatchingParameters:
    """Parameters of batching; the defaults are those of TensorFlow Serving.

    Attributes:
        max_batch_size: samples in a batch, and the most in one request.
        batch_timeout_micros: how long the first request of a batch that is not full waits for others.
        max_enqueued_batches: batches that may wait for a run; more requests are refused.
        num_batch_threads: batches of a model that run at the same time.
        allowed_batch_sizes: a batch is filled up to the next of them; empty: any size.
        pad_variable_length_inputs: fill up inputs whose other dimensions differ, so that they fit into one batch.
        enable_large_batch_splitting: spread a large request over several batches.
        max_execution_batch_size: samples in a batch where large requests are split, which else has no effect; None:
            `max_batch_size`.

    Raises:
        ServingError: they do not fit together; tells all that is wrong.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise ServingError(" ".join(problems))

    @property
    def largest_batch(self) -> int:
        """Returns how many samples a batch may hold."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    @classmethod
    def from_message(cls, message: Any) -> BatchingParameters:
        """Takes the fields that are set in a BatchingParameters message.

        Raises:
            ServingError: they do not fit together.
        """
        values: dict[str, Any] = {}
        for field, value in message.ListFields():
            if field.name == "allowed_batch_sizes":
                values[field.name] = tuple(value)
            elif field.name != "thread_pool_name":  # Threads are not shared between models, and named by themselves.
                values[field.name] = value if isinstance(value, bool) else value.value
        return cls(**values)

    def _problems(self) -> list[str]:
        problems = [
            f"{name} must be positive; was {getattr(self, name)}."
            for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads") if getattr(self, name) < 1]
        if self.batch_timeout_micros < 0:
            problems.append(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}.")
        if not 1 <= self.largest_batch <= self.max_batch_size:
            problems.append(f"max_execution_batch_size must be between 1 and max_batch_size ({self.max_batch_size}); "
                            f"was {self.max_execution_batch_size}.")
        sizes = self.allowed_batch_sizes
        if any(size < 1 for size in sizes) or any(one >= other for one, other in itertools.pairwise(sizes)):
            problems.append("allowed_batch_sizes entries must be positive and monotonically increasing; "
                            f"were {', '.join(map(str, sizes))}.")
        if sizes and sizes[-1] != self.largest_batch:
            limit = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            problems.append(f"Last entry in allowed_batch_sizes must match {limit}; last entry was {sizes[-1]}; expected "
                            f"{self.largest_batch}.")
        return problems


def read_batching_parameters(file: str | Path) -> BatchingParameters:
    """Reads the text format of BatchingParameters.

    Raises:
        ServingError: the file cannot be read, is no such message, or its values do not fit together.
    """
    message = read_text_message(file, BatchingParametersMessage, described_as=_MESSAGE_NAME)
    try:
        return BatchingParameters.from_message(message)
    except ServingError as error:
        raise ServingError(f"{file}: {error}") from error
