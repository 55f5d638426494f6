"""The newest loadable version serves, and a request keeps the version that it started with."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from expman.errors import ServingError
from expman.serving.faults import NotFoundError
from expman.serving.version_store import VersionState, VersionStore


class FilePredictor:
    """Stands for a model: its answer is the text of a file, read once; a folder without it cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        self.answer = (folder / "answer.txt").read_text(encoding="utf-8")
        self.signatures: dict = {}
        self.is_closed = False

    def predict(self, **_: object) -> str:
        assert not self.is_closed, "asked after it was closed"
        return self.answer

    def close(self) -> None:
        assert not self.is_closed, "closed twice"
        self.is_closed = True


def publish(base_path: Path, number: int, answer: str | None = None) -> None:
    """Makes a version appear at once; without an answer it cannot be loaded."""
    hidden = base_path / f".{number}"
    hidden.mkdir(parents=True)
    if answer is not None:
        (hidden / "answer.txt").write_text(answer, encoding="utf-8")
    hidden.rename(base_path / str(number))


def remove(base_path: Path, number: int) -> None:
    for file in (base_path / str(number)).iterdir():
        file.unlink()
    (base_path / str(number)).rmdir()


def store_of(base_path: Path) -> VersionStore:
    return VersionStore(model_name="m", base_path=base_path, load=FilePredictor, poll_seconds=0.02)


def answer_of(store: VersionStore) -> tuple[int, str]:
    with store.acquire("m") as served:
        return served.number, served.predictor.predict()


def states(store: VersionStore) -> dict[int, VersionState]:
    return {status.version: status.state for status in store.statuses("m")}


def test_newest_version_is_served_by_number_not_by_text(tmp_path: Path) -> None:
    for number in (2, 9, 10):
        publish(tmp_path, number, f"answer {number}")
    store = store_of(tmp_path)
    store.refresh()
    assert answer_of(store) == (10, "answer 10")
    assert states(store) == {10: VersionState.AVAILABLE}


def test_version_can_be_asked_for_by_its_number(tmp_path: Path) -> None:
    publish(tmp_path, 3, "three")
    store = store_of(tmp_path)
    store.refresh()
    with store.acquire("m", 3) as served:
        assert served.number == 3


@pytest.mark.parametrize(("name", "version", "message"), [
    ("other", None, r"Servable not found for request: Latest\(other\)"),
    ("m", 7, r"Servable not found for request: Specific\(m, 7\)"),
])
def test_unknown_model_or_version_is_not_found(tmp_path: Path, name: str, version: int | None, message: str) -> None:
    publish(tmp_path, 3, "three")
    store = store_of(tmp_path)
    store.refresh()
    with pytest.raises(NotFoundError, match=message), store.acquire(name, version):
        pass


def test_status_of_an_unknown_model_or_version_is_not_found(tmp_path: Path) -> None:
    publish(tmp_path, 3, "three")
    store = store_of(tmp_path)
    store.refresh()
    with pytest.raises(NotFoundError, match="Could not find any versions of model other"):
        store.statuses("other")
    with pytest.raises(NotFoundError, match="Could not find version 7 of model m"):
        store.statuses("m", 7)


def test_running_request_keeps_its_version_until_it_leaves(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    store = store_of(tmp_path)
    store.refresh()
    with store.acquire("m") as first, store.acquire("m") as second:
        publish(tmp_path, 2, "two")
        store.refresh()
        assert answer_of(store) == (2, "two")
        assert first.predictor.predict() == second.predictor.predict() == "one"
        assert states(store) == {2: VersionState.AVAILABLE, 1: VersionState.UNLOADING}
    assert first.predictor.is_closed
    assert states(store) == {2: VersionState.AVAILABLE, 1: VersionState.END}


def test_old_version_answers_while_the_new_one_loads(tmp_path: Path) -> None:
    load_has_begun, load_may_end = threading.Event(), threading.Event()

    def load(folder: Path) -> FilePredictor:
        if folder.name == "2":
            load_has_begun.set()
            assert load_may_end.wait(60)
        return FilePredictor(folder)

    publish(tmp_path, 1, "one")
    store = VersionStore(model_name="m", base_path=tmp_path, load=load, poll_seconds=0.02)
    store.start()
    publish(tmp_path, 2, "two")
    assert load_has_begun.wait(60)
    assert answer_of(store) == (1, "one")
    assert states(store) == {2: VersionState.LOADING, 1: VersionState.AVAILABLE}
    load_may_end.set()
    _wait_for_version(store, 2)
    store.close()


def test_version_that_cannot_be_loaded_leaves_the_last_good_one_serving(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path, 1, "one")
    store = store_of(tmp_path)
    store.refresh()
    publish(tmp_path, 2)
    store.refresh()
    assert answer_of(store) == (1, "one")
    status = store.statuses("m", 2)[0]
    assert status.state is VersionState.END
    assert "answer.txt" in status.error
    assert "version 2 of 'm' cannot be loaded" in caplog.text


def test_failed_version_is_tried_again_only_when_its_folder_changes(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2)
    store = store_of(tmp_path)
    for _ in range(3):
        store.refresh()
    assert caplog.text.count("cannot be loaded") == 1
    (tmp_path / "2" / "answer.txt").write_text("two", encoding="utf-8")
    store.refresh()
    assert answer_of(store) == (2, "two")
    assert store.statuses("m", 2)[0].error == ""


def test_version_before_a_broken_newest_one_is_served_at_start(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2)
    store = store_of(tmp_path)
    assert store.start() == 1
    store.close()


def test_removing_the_newest_version_rolls_back(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2, "two")
    store = store_of(tmp_path)
    store.refresh()
    remove(tmp_path, 2)
    store.refresh()
    assert answer_of(store) == (1, "one")


def test_last_version_serves_on_when_all_folders_are_gone(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    store = store_of(tmp_path)
    store.refresh()
    remove(tmp_path, 1)
    store.refresh()
    assert answer_of(store) == (1, "one")


def test_start_without_any_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="holds no version of 'm'"):
        store_of(tmp_path / "missing").start()


def test_start_without_a_loadable_version_tells_each_error(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    publish(tmp_path, 2)
    with pytest.raises(ServingError, match=r"version 2: .*answer\.txt.*version 1: .*answer\.txt"):
        store_of(tmp_path).start()


def test_closing_waits_for_running_requests_before_the_model_goes(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    store = store_of(tmp_path)
    store.start()
    with store.acquire("m") as served:
        store.close()
        assert served.predictor.predict() == "one"
    assert served.predictor.is_closed
    with pytest.raises(NotFoundError), store.acquire("m"):
        pass


def test_every_old_version_is_closed_under_load(tmp_path: Path) -> None:
    loaded: list[FilePredictor] = []

    def load(folder: Path) -> FilePredictor:
        loaded.append(FilePredictor(folder))
        return loaded[-1]

    publish(tmp_path, 1, "1")
    store = VersionStore(model_name="m", base_path=tmp_path, load=load, poll_seconds=0.001)
    store.start()
    wrong: list[object] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                number, answer = answer_of(store)
                if str(number) != answer:
                    wrong.append((number, answer))
            except (AssertionError, NotFoundError) as error:
                wrong.append(error)
            # A thread that never waits would keep the interpreter from the others.
            time.sleep(0)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 22):
        publish(tmp_path, number, str(number))
        _wait_for_version(store, number)
    is_over.set()
    for thread in threads:
        thread.join()
    store.close()
    assert wrong == []
    assert len(loaded) == 21
    assert all(predictor.is_closed for predictor in loaded)


def _wait_for_version(store: VersionStore, number: int) -> None:
    while answer_of(store)[0] != number:
        time.sleep(0.001)
