"""A version stays open while a request holds it, and is closed once, when it is retired and nobody does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from expman.serving.models.served_version import ServedVersion
from tests.support.serving_model_stores import FilePredictor, publish


@pytest.fixture
def served(tmp_path: Path) -> ServedVersion:
    folder = publish(tmp_path, 1, "one")
    return ServedVersion("m", 1, FilePredictor(folder), folder=folder)


def test_idle_version_is_closed_when_it_is_retired_and_takes_no_request_after(served: ServedVersion) -> None:
    closed = []
    served.retire(closed.append)
    assert closed == [served]
    assert served.predictor.closed.is_set()
    assert not served.hold()  # as a request finds that has looked the version up just before


def test_version_that_is_held_is_closed_by_the_last_of_its_requests(served: ServedVersion) -> None:
    is_closed = threading.Event()
    assert served.hold()
    with served:
        served.retire(lambda _: is_closed.set())
        assert served.hold()  # found before it was retired
        with served:
            pass
        assert not served.predictor.closed.is_set()
    assert is_closed.wait(60)
    assert served.predictor.closed.is_set()
    assert not served.hold()


def test_request_that_raises_gives_the_version_back(served: ServedVersion) -> None:
    assert served.hold()
    with pytest.raises(ZeroDivisionError), served:
        raise ZeroDivisionError
    served.retire(lambda _: None)
    assert served.predictor.closed.is_set()


def test_model_is_closed_in_no_thread_of_a_request(served: ServedVersion) -> None:
    closing_threads = []
    is_closed = threading.Event()
    served.predictor.close = lambda: closing_threads.append(threading.current_thread())
    assert served.hold()
    with served:
        served.retire(lambda _: is_closed.set())
    assert is_closed.wait(60)
    assert closing_threads != [threading.current_thread()]
