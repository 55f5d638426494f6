"""Where requests wait for others to share a run with; knows nothing of what the run computes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from expman.saved_models.status import Code, StatusError

# After so many batches it is known how many requests to expect at the same time.
_NUM_BATCHES_TO_KNOW = 16


class Task:
    """A piece of work that can share a run with others of the same key.

    Attributes:
        key: tasks of different keys never share a run.
        size: how much of a batch it takes up.
        payload: what is to be computed.
        deadline: the time (`time.monotonic`) after which nobody waits for the answer; None: never.
        answer: what was computed; None until then.
        error: why it could not be computed.
    """

    __slots__ = ("answer", "batch", "deadline", "error", "key", "payload", "size", "waiter")

    def __init__(self, *, key: Hashable, size: int, payload: Any, deadline: float | None) -> None:
        self.key, self.size, self.payload, self.deadline = key, size, payload, deadline
        self.answer: Any = None
        self.error: Exception | None = None
        self.batch: _Batch
        self.waiter: _Waiter

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.deadline is not None and self.deadline <= now


def time_is_over() -> StatusError:
    """The error of a task that has waited until its deadline."""
    return StatusError(Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")


class _Batch:
    """Tasks that will run together.

    Attributes:
        ready_time: when it may run although it is not full; the thread of its first task looks after that.
        is_due: it may run.
    """

    __slots__ = ("is_due", "key", "ready_time", "size", "tasks")

    def __init__(self, key: Hashable, *, ready_time: float, is_due: bool) -> None:
        self.key, self.ready_time, self.is_due = key, ready_time, is_due
        self.tasks: list[Task] = []
        self.size = 0


class _Waiter:
    """The thread of one request while it waits for its tasks.

    Attributes:
        num_unanswered: how many of its tasks.
        batches: what it is to run, for itself and for others.
    """

    __slots__ = ("_is_woken", "_lock", "batches", "num_unanswered")

    def __init__(self, num_tasks: int) -> None:
        self.num_unanswered = num_tasks
        self.batches: list[_Batch] = []
        self._is_woken = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Ends `sleep`, or the next one; the queue's lock must be held."""
        if not self._is_woken:
            self._is_woken = True
            self._lock.release()

    def sleep(self, seconds: float | None) -> None:
        """Waits until it is woken, or for the time; the queue's lock must not be held."""
        if self._lock.acquire(timeout=-1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)):
            self._is_woken = False


class BatchQueue:
    """Collects tasks in batches and has each batch run by the thread of one of its requests; safe to use from many threads.

    A batch that is not full waits for its timeout, but no longer than there are requests to wait for: when it holds as many
    as were under way at the same time lately, it goes. So a client alone does not wait in vain, nor do eight whose batches
    could hold a hundred.

    There are no threads that only run batches: handing a task over to one and its answer back takes longer than a small
    model computes. The request that fills a batch runs it; else the first one does, when its time to wait for others is
    over; while as many batches run as may, the others fill up, and the first thread that is done wakes the next one.

    Arguments:
        run: computes tasks of one key; gives each its `answer` or `error`.
        max_batch_size: the sum of the sizes of a batch's tasks; no task may be larger.
        timeout_seconds: how long a batch waits for more tasks.
        max_enqueued_batches: how many batches may wait for their run.
        max_running_batches: how many may run at the same time.
    """

    def __init__(self, run: Callable[[list[Task]], None], *, max_batch_size: int, timeout_seconds: float,
                 max_enqueued_batches: int, max_running_batches: int) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._timeout_seconds = timeout_seconds
        self._max_enqueued_batches = max_enqueued_batches
        self._max_running_batches = max_running_batches
        self._lock = threading.Lock()
        self._is_drained = threading.Condition(self._lock)
        self._enqueued: deque[_Batch] = deque()  # In the order in which they were begun.
        self._open: dict[Hashable, _Batch] = {}  # Those of them that take more tasks.
        self._num_running = 0
        self._num_tasks = 0  # In batches that wait or run.
        self._recent_num_tasks: deque[int] = deque(maxlen=_NUM_BATCHES_TO_KNOW)  # As each of the last batches was started.
        self._is_closed = False

    def run(self, tasks: Sequence[Task]) -> None:
        """Returns when all tasks of a request have their answer or error; may run those of other requests meanwhile.

        Arguments:
            tasks: of one key and one deadline.

        Raises:
            StatusError: UNAVAILABLE, too many batches wait already; DEADLINE_EXCEEDED, the time is over.
        """
        waiter = _Waiter(len(tasks))
        with self._lock:
            if self._is_closed:
                raise StatusError(Code.UNAVAILABLE, "The model is being unloaded.")
            self._check_capacity(tasks)
            for task in tasks:
                task.waiter = waiter
                self._enqueue(task)
            self._start_due_batches(waiter)
        while True:
            while waiter.batches:
                self._run_batch(waiter.batches.pop(), waiter)
            if not waiter.num_unanswered:
                return
            waiter.sleep(self._seconds_to_sleep(tasks))
            if waiter.num_unanswered and not waiter.batches:
                self._act_on_time(tasks, waiter)

    def close(self) -> None:
        """Refuses new tasks, and waits until all others are answered."""
        with self._lock:
            self._is_closed = True
            self._start_due_batches()
            self._is_drained.wait_for(lambda: not self._enqueued and not self._num_running)

    def _check_capacity(self, tasks: Sequence[Task]) -> None:
        room = self._max_batch_size - self._open[tasks[0].key].size if tasks[0].key in self._open else 0
        num_new_batches = sum(task.size > room for task in tasks)
        if len(self._enqueued) + num_new_batches > self._max_enqueued_batches:
            raise StatusError(Code.UNAVAILABLE, (
                f"The batch scheduling queue to which this task was submitted is full; currently {len(self._enqueued)} "
                f"batches enqueued and max_enqueued_batches is {self._max_enqueued_batches}"))

    def _enqueue(self, task: Task) -> None:
        batch = self._open.get(task.key)
        if batch is not None and batch.size + task.size > self._max_batch_size:
            batch.is_due = True
            batch = None
        if batch is None:
            batch = self._open[task.key] = _Batch(task.key, ready_time=time.monotonic() + self._timeout_seconds,
                                                  is_due=not self._timeout_seconds)
            self._enqueued.append(batch)
        task.batch = batch
        batch.tasks.append(task)
        batch.size += task.size
        self._num_tasks += 1
        if batch.size == self._max_batch_size:
            batch.is_due = True
            del self._open[task.key]
        elif len(self._recent_num_tasks) == _NUM_BATCHES_TO_KNOW and len(batch.tasks) >= max(self._recent_num_tasks):
            batch.is_due = True

    def _start_due_batches(self, own: _Waiter | None = None) -> None:
        """Gives each batch that may run to a thread; `own` is that of the caller, which need not be woken."""
        while self._enqueued and self._num_running < self._max_running_batches:
            batch = next((batch for batch in self._enqueued if batch.is_due or self._is_closed), None)
            if batch is None:
                return
            self._remove(batch)
            batch.is_due = True
            self._num_running += 1
            self._recent_num_tasks.append(self._num_tasks)
            waiter = batch.tasks[0].waiter
            if own is not None and any(task.waiter is own for task in batch.tasks):
                waiter = own
            waiter.batches.append(batch)
            if waiter is not own:
                waiter.wake()

    def _remove(self, batch: _Batch) -> None:
        self._enqueued.remove(batch)
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]

    def _run_batch(self, batch: _Batch, own: _Waiter) -> None:
        try:
            self._run(batch.tasks)
        except BaseException:
            for task in batch.tasks:
                if task.answer is None:
                    task.error = StatusError(Code.INTERNAL, "The run that the request shared with others was broken off.")
            raise
        finally:
            with self._lock:
                self._num_running -= 1
                self._num_tasks -= len(batch.tasks)
                self._start_due_batches(own)
                for task in batch.tasks:
                    task.waiter.num_unanswered -= 1
                    if not task.waiter.num_unanswered and task.waiter is not own:
                        task.waiter.wake()
                if self._is_closed:
                    self._is_drained.notify_all()

    @staticmethod
    def _seconds_to_sleep(tasks: Sequence[Task]) -> float | None:
        """How long a thread may sleep that nobody wakes; None: until it is woken."""
        times = [task.batch.ready_time for task in tasks if task.batch.tasks[0] is task and not task.batch.is_due]
        if tasks[0].deadline is not None:
            times.append(tasks[0].deadline)
        return min(times) - time.monotonic() if times else None

    def _act_on_time(self, tasks: Sequence[Task], waiter: _Waiter) -> None:
        """Starts the batches that have waited long enough.

        Raises:
            StatusError: the request itself has waited too long; its tasks are taken out of their batches.
        """
        now = time.monotonic()
        with self._lock:
            if waiter.batches or not waiter.num_unanswered:
                return
            if tasks[0].is_over(now):
                for task in tasks:
                    self._withdraw(task)
                raise time_is_over()
            for task in tasks:
                task.batch.is_due = task.batch.is_due or task.batch.ready_time <= now
            self._start_due_batches(waiter)

    def _withdraw(self, task: Task) -> None:
        batch = task.batch
        if batch not in self._enqueued:
            return
        batch.tasks.remove(task)
        batch.size -= task.size
        self._num_tasks -= 1
        if batch.tasks:
            batch.tasks[0].waiter.wake()  # It may be the first one now.
        else:
            self._remove(batch)
            self._is_drained.notify_all()
