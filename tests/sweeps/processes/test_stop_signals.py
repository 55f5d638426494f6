"""A sweep that is asked to stop ends where it can save, once, and leaves the process's own handlers as they were."""

from __future__ import annotations

import os
import signal

import pytest

from expman.sweeps.processes.stop_signals import SweepStoppedError, stop_request, stoppable


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that the process had before; they must be there again."""
    def of_process(number, frame):
        raise AssertionError("the sweep's own handler should have been there")

    before = {number: signal.signal(number, of_process) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert all(signal.getsignal(number) is of_process for number in before)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_sweep_at_once_and_a_second_one_does_not_disturb_the_saving(number, exit_code):
    saved = []
    with pytest.raises(SweepStoppedError, match=f"stopped by {number.name}.*The same command goes on") as stopped, stoppable():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            saved.append("the running trial")
    assert stopped.value.exit_code == exit_code and saved


def test_a_request_waits_until_it_is_asked_for():
    done = []
    with pytest.raises(SweepStoppedError, match="SIGTERM"), stop_request() as request:
        request.check()
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("what must not be cut in two")
        request.check()
        done.append("too much")
    assert done == ["what must not be cut in two"]


def test_a_request_that_nobody_asks_for_ends_the_sweep_where_the_context_ends():
    done = []
    with pytest.raises(SweepStoppedError) as stopped, stop_request():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("all of it")
    assert done and stopped.value.exit_code == 130


def test_without_a_signal_nothing_happens():
    with stoppable(), stop_request() as request:
        request.check()
