"""A predictor that joins requests which arrive together into one run of the model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from expman.saved_models.predictor import Predictor
from expman.saved_models.status import Code, StatusError, check_time_is_left
from expman.serving.batching.batch_queue import BatchQueue, Task, time_is_over
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.serving.batching.joined_tensors import batch_size, joined_feeds, parted_outputs

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef


class BatchedPredictor:
    """Joins requests along the first dimension of their inputs, as TensorFlow Serving does with batching enabled.

    Requests share a run when they feed and fetch the same tensors, with the same types and, unless inputs of variable length
    are padded, the same other dimensions. Two things are better than there: requests whose shapes differ do not make each
    other fail, and when a shared run fails, its requests run again one by one, so that only those fail that are to blame.

    Arguments:
        predictor: runs the model; closed together with this one.
        parameters: how much is joined, and how long a request waits for others.
    """

    def __init__(self, predictor: Predictor, parameters: BatchingParameters) -> None:
        self._predictor = predictor
        self._parameters = parameters
        self._queue = BatchQueue(
            self._run_tasks, max_batch_size=parameters.largest_batch, timeout_seconds=parameters.batch_timeout_micros / 1e6,
            max_enqueued_batches=parameters.max_enqueued_batches, max_running_batches=parameters.num_batch_threads)

    @property
    def signatures(self) -> Mapping[str, SignatureDef]:
        """Those of the model."""
        return self._predictor.signatures

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors, together with other requests; see `Predictor.run`.

        Raises:
            StatusError: INVALID_ARGUMENT, the inputs have no common first dimension or are too large for a batch;
                UNAVAILABLE, too many requests wait already; FAILED_PRECONDITION, an output does not have one row for each
                sample; DEADLINE_EXCEEDED; or what the model itself reports.
        """
        size = batch_size(feeds)
        if size > self._parameters.max_batch_size:
            raise StatusError(Code.INVALID_ARGUMENT, f"Task size {size} is larger than maximum input batch size "
                                                     f"{self._parameters.max_batch_size}")
        if not size:
            return self._predictor.run(feeds, fetches, timeout_seconds=timeout_seconds)
        check_time_is_left(timeout_seconds)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        key = (*fetches, *[(name, feeds[name].dtype, self._common_shape(feeds[name])) for name in sorted(feeds)])
        largest = self._parameters.largest_batch
        tasks = [Task(key=key, size=len(next(iter(part.values()))), payload=(part, fetches), deadline=deadline)
                 for part in ([feeds] if size <= largest else _split(feeds, size, largest))]
        self._queue.run(tasks)
        for task in tasks:
            if task.error is not None:
                raise task.error
        return tasks[0].answer if len(tasks) == 1 else [np.concatenate(parts) for parts in zip(*(t.answer for t in tasks))]

    def close(self) -> None:
        """Answers the requests that wait, then gives the model's memory back; refuses new ones."""
        self._queue.close()
        self._predictor.close()

    def _common_shape(self, array: np.ndarray) -> tuple[int, ...] | int:
        return array.ndim if self._parameters.pad_variable_length_inputs else array.shape[1:]

    def _run_tasks(self, tasks: list[Task]) -> None:
        now = time.monotonic()
        for task in tasks:
            task.error = time_is_over() if task.is_over(now) else None
        tasks = [task for task in tasks if task.error is None]
        if not tasks:
            return
        try:
            for task, answer in zip(tasks, self._joined_run(tasks)):
                task.answer = answer
        # Whatever it is, it belongs to the requests, of which this thread's is only one.
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].error = error
            else:
                for task in tasks:
                    self._run_tasks([task])

    def _joined_run(self, tasks: list[Task]) -> list[list[np.ndarray]]:
        sizes = [task.size for task in tasks]
        num_added = self._allowed_size(sum(sizes)) - sum(sizes)
        feeds = joined_feeds([task.payload[0] for task in tasks], num_added=num_added,
                             pads_dimensions=self._parameters.pad_variable_length_inputs)
        outputs = self._predictor.run(feeds, tasks[0].payload[1], timeout_seconds=_longest_time(tasks))
        return parted_outputs(outputs, sizes, num_added=num_added)

    def _allowed_size(self, size: int) -> int:
        return next((allowed for allowed in self._parameters.allowed_batch_sizes if allowed >= size), size)


def _split(feeds: Mapping[str, np.ndarray], size: int, largest: int) -> list[dict[str, np.ndarray]]:
    return [{name: array[begin:begin + largest] for name, array in feeds.items()} for begin in range(0, size, largest)]


def _longest_time(tasks: Sequence[Task]) -> float | None:
    """Seconds until the last of the requests gives up; None: one does not."""
    deadlines = [task.deadline for task in tasks]
    return None if None in deadlines else max(deadlines) - time.monotonic()
