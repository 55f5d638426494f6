"""A queue in which requests wait for others to share a run with; knows nothing of what the run computes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from expman.wire.status import Code, StatusError

_LOGGER = logging.getLogger(__name__)

# After so many batches it is known how many requests to expect at the same time.
_NUM_BATCHES_TO_KNOW = 16


class Task:
    """A piece of work that can share a run with others of the same key.

    Attributes:
        key: tasks of different keys never share a run.
        size: how much of a batch it takes up.
        payload: what is to be computed.
        deadline: the time (`time.monotonic`) after which nobody waits for the answer; None: never.
        on_done: is called with the task, by the thread that ran it, as soon as there is an answer or an error.
        answer: what was computed; None until then.
        error: why it could not be computed.
    """

    __slots__ = ("answer", "batch", "deadline", "error", "key", "on_done", "payload", "size")

    def __init__(self, *, key: Hashable, size: int, payload: Any, deadline: float | None,
                 on_done: Callable[[Task], None]) -> None:
        self.key, self.size, self.payload, self.deadline, self.on_done = key, size, payload, deadline, on_done
        self.answer: Any = None
        self.error: Exception | None = None
        self.batch: _Batch | None = None  # Where it waits; a task that has left the queue would keep the others in memory.

    def is_over(self, now: float) -> bool:
        """Returns True when nobody waits for the answer any more."""
        return self.deadline is not None and self.deadline <= now


def time_is_over() -> StatusError:
    """Returns the error of a task that has waited until its deadline."""
    return StatusError(Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")


class _Batch:
    """Tasks that will run together.

    Attributes:
        ready_time: when it may run although it is not full.
        is_due: it may run before that.
    """

    __slots__ = ("is_due", "key", "ready_time", "size", "tasks")

    def __init__(self, key: Hashable, *, ready_time: float) -> None:
        self.key, self.ready_time = key, ready_time
        self.is_due = False
        self.tasks: list[Task] = []
        self.size = 0


class _Runner:
    """The sleep of a thread that runs batches, while there is none for it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Ends `sleep`, or the next one; the queue's lock must be held, and each sleep is ended once at most."""
        self._lock.release()

    def sleep(self, seconds: float | None) -> None:
        """Waits until it is woken, or for the time; the queue's lock must not be held."""
        self._lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def stay_awake(self) -> None:
        """Forgets a wake that came when the time of a sleep was just over; the queue's lock must be held."""
        self._lock.acquire(blocking=False)


class BatchQueue:
    """Collects tasks in batches and has each batch run by a thread of its own; safe to use from many threads.

    A batch that is not full waits for its timeout, but no longer than there are requests to wait for: when it holds half as
    many as were under way at the same time lately, it goes. So one half gathers while the other one is computed, and a client
    alone does not wait in vain, nor do eight whose batches could hold a hundred. While as many batches run as may, the others
    fill up.

    Requests do not lend the queue their threads, for few have one: a thread that reads requests from the network adds them
    and reads on. But to hand work over to a sleeping thread takes longer than a small model computes. So none is woken that
    is not needed: a runner that is done takes the next batch itself, the one that worked last is woken first, and at most
    one, the watcher, sleeps with a time limit: until the first batch has waited long enough.

    Arguments:
        run: computes tasks of one key; gives each its `answer` or `error`.
        max_batch_size: the sum of the sizes of a batch's tasks; no task may be larger.
        timeout_seconds: how long a batch waits for more tasks.
        max_enqueued_batches: how many batches may wait for their run.
        max_running_batches: how many may run at the same time; as many threads are started as are needed for them.
        name: that of the threads, in front of their number.
    """

    def __init__(self, run: Callable[[list[Task]], None], *, max_batch_size: int, timeout_seconds: float,
                 max_enqueued_batches: int, max_running_batches: int, name: str = "batches") -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._timeout_seconds = timeout_seconds
        self._max_enqueued_batches = max_enqueued_batches
        self._max_running_batches = max_running_batches
        self._name = name
        self._lock = threading.Lock()
        self._enqueued: deque[_Batch] = deque()  # In the order in which they were begun, which is that of their ready times.
        self._open: dict[Hashable, _Batch] = {}  # Those of them that take more tasks.
        self._num_due = 0  # Of them.
        self._num_tasks = 0  # In batches that wait or run.
        self._recent_num_tasks: deque[int] = deque(maxlen=_NUM_BATCHES_TO_KNOW)  # As each of the last batches was started.
        self._threads: list[threading.Thread] = []
        self._idle: list[_Runner] = []  # The last one went to sleep last.
        self._watcher: _Runner | None = None
        self._called: set[_Runner] = set()  # Were woken, and have not looked for a batch yet.
        self._is_closed = False

    def add(self, tasks: Sequence[Task]) -> None:
        """Has the tasks of a request run; does not wait for that.

        Arguments:
            tasks: of one key. Their `on_done` may be called before this returns. It holds up other tasks as long as it takes.

        Raises:
            StatusError: UNAVAILABLE, too many batches wait already, or the queue is closed; no task is run.
            RuntimeError: the system has no thread for them; no task is run.
        """
        with self._lock:
            if self._is_closed:
                raise StatusError(Code.UNAVAILABLE, "The model is being unloaded.")
            self._check_capacity(tasks)
            if not self._threads:
                self._start_runner()  # First, so that nothing waits in vain if it cannot be started.
            for task in tasks:
                self._enqueue(task)
            self._call_runners()

    def withdraw(self, tasks: Sequence[Task]) -> int:
        """Takes back those of the tasks that were added and do not run yet; their `on_done` will not be called.

        Returns:
            How many these were.
        """
        with self._lock:
            waiting = [task for task in tasks if task.batch is not None]
            for task in waiting:
                batch, task.batch = task.batch, None
                batch.tasks.remove(task)
                batch.size -= task.size
                if not batch.tasks:
                    self._remove(batch)
            self._num_tasks -= len(waiting)
        return len(waiting)

    def close(self) -> None:
        """Refuses new tasks, and waits until all others are answered and the threads have ended; not for use in `on_done`."""
        with self._lock:
            self._is_closed = True
            for batch in self._enqueued:
                self._set_due(batch)
            self._call_runners()
            while self._idle or self._watcher is not None:
                self._call_runner()
        for thread in self._threads:
            thread.join()

    def _check_capacity(self, tasks: Sequence[Task]) -> None:
        room = self._max_batch_size - self._open[tasks[0].key].size if tasks[0].key in self._open else 0
        num_new_batches = sum(task.size > room for task in tasks)
        num_waiting = len(self._enqueued) - min(self._num_due, len(self._called))  # The others are as good as begun.
        if num_waiting + num_new_batches > self._max_enqueued_batches:
            raise StatusError(Code.UNAVAILABLE, (
                f"The batch scheduling queue to which this task was submitted is full; currently {num_waiting} "
                f"batches enqueued and max_enqueued_batches is {self._max_enqueued_batches}"))

    def _enqueue(self, task: Task) -> None:
        batch = self._open.get(task.key)
        if batch is not None and batch.size + task.size > self._max_batch_size:
            self._set_due(batch)
            batch = None
        if batch is None:
            batch = self._open[task.key] = _Batch(task.key, ready_time=time.monotonic() + self._timeout_seconds)
            self._enqueued.append(batch)
        task.batch = batch
        batch.tasks.append(task)
        batch.size += task.size
        self._num_tasks += 1
        if batch.size == self._max_batch_size:
            self._set_due(batch)
            del self._open[task.key]
        elif not self._timeout_seconds or self._holds_half(batch):
            self._set_due(batch)

    def _holds_half(self, batch: _Batch) -> bool:
        """Returns True when the others are too few to wait for."""
        return len(self._recent_num_tasks) == _NUM_BATCHES_TO_KNOW and 2 * len(batch.tasks) >= max(self._recent_num_tasks)

    def _set_due(self, batch: _Batch) -> None:
        if not batch.is_due:
            batch.is_due = True
            self._num_due += 1

    def _begin(self, batch: _Batch) -> None:
        self._remove(batch)
        for task in batch.tasks:
            task.batch = None
        self._recent_num_tasks.append(self._num_tasks)
        self._call_runners()

    def _remove(self, batch: _Batch) -> None:
        self._enqueued.remove(batch)
        self._num_due -= batch.is_due
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]

    def _call_runners(self) -> None:
        """Sees to it that a runner comes for each batch that is due, or at least one that watches the others."""
        num_needed = self._num_due or int(bool(self._enqueued) and self._watcher is None)
        while len(self._called) < num_needed and self._call_runner():
            pass

    def _call_runner(self) -> bool:
        """Wakes or starts one; False: all are busy, and will see for themselves what there is to do."""
        # The watcher only where it leaves nothing unwatched, as another would have to be woken for that.
        if self._watcher is not None and (not self._idle or len(self._enqueued) == self._num_due):
            runner, self._watcher = self._watcher, None
        elif self._idle:
            runner = self._idle.pop()
        elif len(self._threads) < self._max_running_batches:
            try:
                self._start_runner()
            except RuntimeError as error:
                _LOGGER.warning("Batches go on with %d instead of %d threads: %s.", len(self._threads),
                                self._max_running_batches, error)
                return False
            return True
        else:
            return False
        self._called.add(runner)
        runner.wake()
        return True

    def _start_runner(self) -> None:
        runner = _Runner()
        thread = threading.Thread(target=self._work, args=(runner,), daemon=True, name=f"{self._name}-{len(self._threads)}")
        thread.start()
        self._threads.append(thread)
        self._called.add(runner)

    def _work(self, runner: _Runner) -> None:
        while (batch := self._next_batch(runner)) is not None:
            self._run_batch(batch)
            del batch  # What requests brought and got shall not stay in memory while the runner sleeps.

    def _next_batch(self, runner: _Runner) -> _Batch | None:
        """Waits for a batch that may run; None: there will be no more."""
        while True:
            with self._lock:
                runner.stay_awake()
                self._called.discard(runner)
                if self._watcher is runner:
                    self._watcher = None
                now = time.monotonic()
                batch = next((batch for batch in self._enqueued if batch.is_due or batch.ready_time <= now), None)
                if batch is not None:
                    self._begin(batch)
                    return batch
                if self._is_closed:
                    return None
                seconds = None
                if self._enqueued and self._watcher is None:
                    self._watcher = runner
                    seconds = self._enqueued[0].ready_time - now
                else:
                    self._idle.append(runner)
            runner.sleep(seconds)

    def _run_batch(self, batch: _Batch) -> None:
        try:
            self._run(batch.tasks)
        # The thread is not the requests': whatever it is, the others must get their answers.
        except BaseException:
            _LOGGER.exception("The run of a batch was broken off.")
            for task in batch.tasks:
                if task.answer is None and task.error is None:
                    task.error = StatusError(Code.INTERNAL, "The run that the request shared with others was broken off.")
        with self._lock:
            self._num_tasks -= len(batch.tasks)
        for task in batch.tasks:
            try:
                task.on_done(task)
            except BaseException:
                _LOGGER.exception("The answer to a request could not be handed over.")
