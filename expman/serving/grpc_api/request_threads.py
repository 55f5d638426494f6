"""Threads that answer requests: as few at a time as keep the processor busy, and more while some of them take long."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

_PATIENCE_SECONDS = 0.004


class _Worker:
    """One thread.

    Attributes:
        begin: when its task began.
        sleep: held while it has nothing to do.
    """

    __slots__ = ("begin", "sleep")

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.sleep = threading.Lock()
        self.sleep.acquire()


class RequestThreads(Executor):
    """Begins tasks in the order in which they come.

    Threads that compute in Python wait for one another: eight of them answer two thirds of the requests to a small model that
    three do, since each that wakes up finds the interpreter taken. So no more than a few begin; but a task that has run for some
    milliseconds, as those of large models do and those that wait for others, no longer counts.

    Arguments:
        most: threads, whatever they do.
        few: that run at the same time while all tasks are short; None: one more than there are processors.
        name: of the threads.
    """

    def __init__(self, most: int, *, few: int | None = None, name: str = "request") -> None:
        self._most = most
        self._few = min(most, (os.cpu_count() or 1) + 1 if few is None else few)
        self._name = name
        self._is_waiting = threading.Event()
        self._lock = threading.Lock()  # Guards what follows; held for a moment only.
        self._tasks: deque[tuple[Future, Callable[[], Any]]] = deque()
        self._busy: set[_Worker] = set()
        self._idle: list[_Worker] = []  # The last one that worked is the next to work: its memory is still in the caches.
        self._threads: list[threading.Thread] = []
        self._is_shut = False
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        """Runs a function some time.

        Raises:
            RuntimeError: after `shutdown`.
        """
        future: Future = Future()
        with self._lock:
            if self._is_shut:
                raise RuntimeError("the threads have been shut down")
            self._tasks.append((future, lambda: function(*arguments, **named)))
            self._begin_one()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; those that wait are run, or cancelled."""
        with self._lock:
            self._is_shut = True
            while cancel_futures and self._tasks:
                self._tasks.pop()[0].cancel()
            for worker in self._idle:
                worker.sleep.release()
            self._idle.clear()
            threads = list(self._threads)
        self._is_waiting.set()
        for thread in threads if wait else ():
            thread.join()

    def _begin_one(self) -> None:
        """Lets a thread take a task, if one may; the lock must be held."""
        if self._num_short(self._busy) >= self._few:
            if not self._is_waiting.is_set():
                self._is_waiting.set()
        elif self._idle:
            worker = self._idle.pop()
            worker.begin = time.monotonic()
            self._busy.add(worker)
            worker.sleep.release()
        elif len(self._threads) < self._most:
            worker = _Worker()
            self._busy.add(worker)
            thread = threading.Thread(target=self._work, args=(worker,), name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _num_short(self, workers: set[_Worker]) -> int:
        """Returns how many have not run for long yet."""
        if len(workers) < self._few:
            return len(workers)
        late = time.monotonic() - _PATIENCE_SECONDS
        return sum([worker.begin > late for worker in workers])

    def _work(self, worker: _Worker) -> None:
        while True:
            with self._lock:
                self._busy.discard(worker)
                task = self._tasks.popleft() if self._tasks and self._num_short(self._busy) < self._few else None
                if task is not None:
                    worker.begin = time.monotonic()
                    self._busy.add(worker)
                elif self._is_shut:
                    return
                else:
                    self._idle.append(worker)
            if task is None:
                worker.sleep.acquire()
            else:
                _run(*task)
                task = None  # What it holds must not live until the next one comes.

    def _watch(self) -> None:
        """Begins tasks that wait since those before them take long."""
        while not self._is_shut:
            self._is_waiting.wait()
            time.sleep(_PATIENCE_SECONDS)
            with self._lock:
                if self._tasks:
                    self._begin_one()
                else:
                    self._is_waiting.clear()


def _run(future: Future, function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
