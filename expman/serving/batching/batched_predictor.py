"""A predictor that joins requests which arrive together into one run of the model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from expman.runtimes.predictor import OnDone, Predictor
from expman.serving.batching.batch_queue import BatchQueue, Task, time_is_over
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.serving.batching.joined_tensors import batch_size, joined_feeds, parted_outputs
from expman.wire.status import Code, StatusError, check_time_is_left


class BatchedPredictor(Predictor):
    """Joins requests along the first dimension of their inputs, as TensorFlow Serving does with batching enabled.

    Requests share a run when they feed and fetch the same tensors, with the same types and, unless inputs of variable length
    are padded, the same other dimensions. Two things are better than there: requests whose shapes differ do not make each
    other fail, and when a shared run fails, its requests run again one by one, so that only those fail that are to blame.

    Arguments:
        predictor: runs the model; closed together with this one.
        parameters: how much is joined, and how long a request waits for others.
    """

    joins = True

    def __init__(self, predictor: Predictor, parameters: BatchingParameters) -> None:
        self.signatures = predictor.signatures
        self._predictor = predictor
        self._parameters = parameters
        self._queue = BatchQueue(
            self._run_tasks, max_batch_size=parameters.largest_batch, timeout_seconds=parameters.batch_timeout_micros / 1e6,
            max_enqueued_batches=parameters.max_enqueued_batches, max_running_batches=parameters.num_batch_threads)

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors, together with other requests; see `Predictor.run`.

        Raises:
            StatusError: INVALID_ARGUMENT, the inputs have no common first dimension or are too large for a batch;
                UNAVAILABLE, too many requests wait already; FAILED_PRECONDITION, an output does not have one row for each
                sample; DEADLINE_EXCEEDED; or what the model itself reports.
        """
        outcomes: SimpleQueue[tuple[list[np.ndarray] | None, Exception | None]] = SimpleQueue()
        withdraw = self.submit(feeds, fetches, timeout_seconds=timeout_seconds,
                               on_done=lambda outputs, error: outcomes.put((outputs, error)))
        try:
            outputs, error = outcomes.get(
                timeout=None if timeout_seconds is None else min(max(0.0, timeout_seconds), threading.TIMEOUT_MAX))
        except Empty:
            withdraw()
            raise time_is_over() from None
        if error is not None:
            raise error
        return outputs

    def submit(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, timeout_seconds: float | None,
               on_done: OnDone) -> Callable[[], bool]:
        """Has tensors computed together with other requests; see `Predictor.submit`.

        A request without samples has nothing to share, and is computed at once, by the thread of the caller.
        """
        size = batch_size(feeds)
        if size > self._parameters.max_batch_size:
            raise StatusError(Code.INVALID_ARGUMENT, f"Task size {size} is larger than maximum input batch size "
                                                     f"{self._parameters.max_batch_size}")
        if not size:
            return self._predictor.submit(feeds, fetches, timeout_seconds=timeout_seconds, on_done=on_done)
        check_time_is_left(timeout_seconds)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        key = (*fetches, *[(name, feeds[name].dtype, self._common_shape(feeds[name])) for name in sorted(feeds)])
        largest = self._parameters.largest_batch
        parts = [feeds] if size <= largest else _split(feeds, size, largest)
        request = _Request(self._queue, num_tasks=len(parts), on_done=on_done)
        tasks = [Task(key=key, size=len(next(iter(part.values()))), payload=(part, fetches), deadline=deadline,
                      on_done=partial(request.take_answer, index)) for index, part in enumerate(parts)]
        self._queue.add(tasks)
        return partial(request.withdraw, tasks)

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
        # Whatever it is, it belongs to the requests.
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


class _Request:
    """The outcome of a request's tasks.

    It does not know the tasks themselves: they know it, and a cycle would keep the tensors in memory.
    """

    __slots__ = ("_answers", "_error", "_is_answered", "_lock", "_num_left", "_on_done", "_queue")

    def __init__(self, queue: BatchQueue, *, num_tasks: int, on_done: OnDone) -> None:
        self._queue, self._on_done, self._num_left = queue, on_done, num_tasks
        self._answers: list[Any] = [None] * num_tasks
        self._error: Exception | None = None
        self._is_answered = False
        self._lock = threading.Lock()

    def take_answer(self, index: int, task: Task) -> None:
        """Notes what has become of one task, and tells the caller when it is the last one."""
        with self._lock:
            self._answers[index] = task.answer
            self._error = self._error or task.error
            self._num_left -= 1
            if self._num_left:
                return
            self._is_answered = True
        self._on_done(*((None, self._error) if self._error is not None else _outcome(self._outputs)))

    def withdraw(self, tasks: Sequence[Task]) -> bool:
        """Takes back the tasks that wait; returns True when the caller will hear nothing more."""
        with self._lock:
            if num_withdrawn := self._queue.withdraw(tasks):
                self._error = self._error or StatusError(Code.CANCELLED, "The request was withdrawn.")
                self._num_left -= num_withdrawn
            return not self._num_left and not self._is_answered

    def _outputs(self) -> list[np.ndarray]:
        return self._answers[0] if len(self._answers) == 1 else [np.concatenate(parts) for parts in zip(*self._answers)]


def _outcome(compute: Callable[[], list[np.ndarray]]) -> tuple[list[np.ndarray] | None, Exception | None]:
    try:
        return compute(), None
    # Whatever it is, who waits for the answer must hear of it.
    except Exception as error:
        return None, error


def _split(feeds: Mapping[str, np.ndarray], size: int, largest: int) -> list[dict[str, np.ndarray]]:
    return [{name: array[begin:begin + largest] for name, array in feeds.items()} for begin in range(0, size, largest)]


def _longest_time(tasks: Sequence[Task]) -> float | None:
    """Returns the seconds until the last of the requests gives up; None: one does not."""
    deadlines = [task.deadline for task in tasks]
    return None if None in deadlines else max(deadlines) - time.monotonic()
