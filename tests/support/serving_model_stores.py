"""Models without TensorFlow, and folders of their versions, for the tests of the store of models."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore, VersionStatus
from expman.serving.models.version_states import VersionState


class FilePredictor:
    """Stands for a model: its answer is the text of a file, read once; a folder without it cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signatures: dict = {}
        self.answer = (folder / "answer.txt").read_text(encoding="utf-8")
        self.closed = threading.Event()

    def run(self, feeds: object = None, fetches: object = None, *, timeout_seconds: float | None = None) -> list[str]:
        assert not self.closed.is_set(), "asked after it was closed"
        return [self.answer]

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Loader:
    """Loads `FilePredictor`s, remembers each try, and can be made to wait.

    Attributes:
        tries: version folder -> how often it was to be loaded.
        predictors: what was loaded, in that order.
    """

    def __init__(self) -> None:
        self.tries: dict[Path, int] = {}
        self.predictors: list[FilePredictor] = []
        self._gates: dict[Path, tuple[threading.Event, threading.Event]] = {}

    def __call__(self, folder: Path, config: ModelConfig) -> FilePredictor:
        self.tries[folder] = self.tries.get(folder, 0) + 1
        if folder in self._gates:
            has_begun, may_end = self._gates[folder]
            has_begun.set()
            assert may_end.wait(60)
        predictor = FilePredictor(folder)
        self.predictors.append(predictor)
        return predictor

    def hold(self, folder: Path) -> tuple[threading.Event, threading.Event]:
        """Makes the loads of a folder wait; returns (set when one has begun, to be set so that it goes on)."""
        self._gates[folder] = threading.Event(), threading.Event()
        return self._gates[folder]

    def open_predictors(self) -> list[FilePredictor]:
        return [predictor for predictor in self.predictors if not predictor.closed.is_set()]


def publish(base_path: Path, number: int, answer: str | None = None) -> Path:
    """Makes a version appear at once; without an answer it cannot be loaded."""
    hidden = base_path / f".{number}"
    hidden.mkdir(parents=True)
    if answer is not None:
        (hidden / "answer.txt").write_text(answer, encoding="utf-8")
    return hidden.rename(base_path / str(number))


def remove(base_path: Path, number: int) -> None:
    """Makes a version disappear at once."""
    shutil.rmtree((base_path / str(number)).rename(base_path / f".{number}"))


@contextmanager
def started_store(*models: ModelConfig, load: Loader | None = None, **options: object) -> Iterator[ModelStore]:
    """A store that looks at its base paths only when told to, unless `poll_seconds` says otherwise."""
    store = ModelStore(load=load or Loader(), **{"poll_seconds": 0, **options})
    store.start(models)
    try:
        yield store
    finally:
        store.close()


def answer_of(store: ModelStore, name: str = "m", **wanted: object) -> tuple[int, str]:
    """Asks a model as a request does; returns the version and its answer."""
    with store.acquire(name, **wanted) as served:
        return served.number, served.predictor.run()[0]


def states(store: ModelStore, name: str = "m") -> dict[int, VersionState]:
    """The states of all versions, newest first."""
    return {status.version: status.state for status in store.statuses(name)}


def wait_for_state(store: ModelStore, version: int, state: VersionState, *, name: str = "m") -> VersionStatus:
    """Waits until a version is in a state; the test's own time limit ends it otherwise."""
    pause = threading.Event()
    while True:
        for status in store.statuses(name):
            if (status.version, status.state) == (version, state):
                return status
        pause.wait(0.001)
