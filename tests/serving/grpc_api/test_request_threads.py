"""The gRPC server's threads: few for short requests, more while some take long, none lost."""

from __future__ import annotations

import threading
import time

import pytest

from expman.serving.grpc_api.request_threads import RequestThreads


def test_results_and_errors_come_back() -> None:
    threads = RequestThreads(4)
    assert [threads.submit(pow, number, 2).result(60) for number in range(20)] == [number**2 for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(60)
    assert threads.submit(pow, 3, 2).result(60) == 9
    threads.shutdown()


def test_short_tasks_never_run_on_more_than_the_few_threads() -> None:
    threads, lock = RequestThreads(8, few=2), threading.Lock()
    running, most = 0, 0

    def short() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1

    for future in [threads.submit(short) for _ in range(2000)]:
        future.result(60)
    threads.shutdown()
    assert most <= 2


def test_long_tasks_do_not_keep_others_waiting() -> None:
    threads, may_end = RequestThreads(8, few=2), threading.Event()
    long = [threads.submit(may_end.wait, 60) for _ in range(6)]
    assert threads.submit(pow, 3, 2).result(60) == 9
    may_end.set()
    assert all(future.result(60) for future in long)
    threads.shutdown()


def test_never_more_tasks_than_threads_at_the_same_time() -> None:
    threads, may_end = RequestThreads(3, few=1), threading.Event()
    begun: list[int] = []
    futures = [threads.submit(lambda number=number: (begun.append(number), may_end.wait(60))) for number in range(5)]
    while len(begun) < 3:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(begun) == 3
    may_end.set()
    for future in futures:
        future.result(60)
    assert sorted(begun) == list(range(5)) and begun[0] == 0
    threads.shutdown()


def test_shutdown_runs_what_waits_and_takes_nothing_more() -> None:
    threads = RequestThreads(1)
    done: list[int] = []
    for number in range(50):
        threads.submit(done.append, number)
    threads.shutdown()
    assert done == list(range(50))
    with pytest.raises(RuntimeError):
        threads.submit(done.append, 0)


def test_cancelled_task_is_not_run() -> None:
    threads, may_end = RequestThreads(1), threading.Event()
    done: list[int] = []
    first = threads.submit(may_end.wait, 60)
    second = threads.submit(done.append, 1)
    assert second.cancel()
    may_end.set()
    assert first.result(60)
    threads.shutdown()
    assert done == []
