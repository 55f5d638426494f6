"""Keeps the newest version of one model loaded, and swaps to a newer one without disturbing running requests."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from expman.errors import ServingError
from expman.experiment_folder import exported_versions
from expman.serving.faults import NotFoundError
from expman.serving.predictor import Predictor

_LOGGER = logging.getLogger(__name__)

# What a folder holds: (path, size, time of change) of each entry.
_Fingerprint = tuple[tuple[str, int, int], ...]


class VersionState(enum.IntEnum):
    """The life of a version; names and numbers are those of TensorFlow Serving's ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """Where one version stands.

    Attributes:
        error: why it could not be loaded (state END); '' otherwise.
    """

    version: int
    state: VersionState
    error: str = ""


class ServedVersion:
    """One loaded version, handed to requests; only `VersionStore` counts them.

    Attributes:
        number: the version.
        predictor: what answers.
    """

    def __init__(self, number: int, predictor: Predictor) -> None:
        self.number = number
        self.predictor = predictor
        self.num_requests = 0
        self.is_retired = False


class VersionStore:
    """Serves the newest loadable version below a model's base path.

    A version that cannot be loaded leaves the one before it serving, and is tried again when its folder changes.
    When the newest folder is removed, the newest of those left is served: that is how to roll back.

    Arguments:
        model_name: the name that requests give.
        base_path: holds one folder a version, named 1, 2, 3 …
        load: makes a predictor of a version's folder; whatever it raises marks the version as not loadable.
        poll_seconds: time between two looks at the base path.

    Example:
        store = VersionStore(model_name="digits", base_path=folder, load=SavedModelPredictor)
        store.start()
        with store.acquire("digits") as served:
            served.predictor.predict(signature_name="", inputs={"x": array})
        store.close()
    """

    def __init__(self, *, model_name: str, base_path: Path, load: Callable[[Path], Predictor],
                 poll_seconds: float = 1.0) -> None:
        self.model_name = model_name
        self._base_path = base_path
        self._load = load
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()  # Guards what follows, up to the blank line; never held while loading.
        self._current: ServedVersion | None = None
        self._statuses: dict[int, VersionStatus] = {}

        self._failed_folders: dict[int, _Fingerprint] = {}
        self._is_closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"versions-of-{model_name}")

    def start(self) -> int:
        """Loads the newest version, then watches for newer ones in a thread.

        Returns:
            The version that is served now.

        Raises:
            ServingError: there is no version, or none that can be loaded.
        """
        try:
            self.refresh()
        except OSError as error:
            raise ServingError(f"'{self._base_path}' cannot be read ({error.strerror}). Make it readable.") from error
        if self._current is None:
            raise ServingError(self._nothing_to_serve())
        self._watcher.start()
        return self._current.number

    def refresh(self) -> None:
        """Looks once at the base path and serves its newest loadable version.

        Not to be called from several threads at once.

        Raises:
            OSError: the base path cannot be read.
        """
        versions = exported_versions(self._base_path)
        self._failed_folders = {number: seen for number, seen in self._failed_folders.items() if number in versions}
        for number in reversed(versions):
            if self._current is not None and self._current.number == number:
                return
            if (predictor := self._loaded(number)) is not None:
                self._swap_to(ServedVersion(number, predictor))
                return

    @contextmanager
    def acquire(self, model_name: str, version: int | None = None) -> Iterator[ServedVersion]:
        """Holds the served version for one request: it stays loaded until the block is left.

        Arguments:
            version: None for the newest.

        Raises:
            NotFoundError: the model or the version is not served.
        """
        with self._lock:
            served = self._current
            if model_name != self.model_name or served is None or version not in (None, served.number):
                wanted = f"Latest({model_name})" if version is None else f"Specific({model_name}, {version})"
                raise NotFoundError(f"Servable not found for request: {wanted}")
            served.num_requests += 1
        try:
            yield served
        finally:
            with self._lock:
                served.num_requests -= 1
                is_last = served.is_retired and served.num_requests == 0
            if is_last:
                self._unload(served)

    def statuses(self, model_name: str, version: int | None = None) -> list[VersionStatus]:
        """The versions seen since the start, newest first; just one if asked for.

        Raises:
            NotFoundError: the model is not served here, or the version was never seen.
        """
        with self._lock:
            known = dict(self._statuses) if model_name == self.model_name else {}
        if not known:
            raise NotFoundError(f"Could not find any versions of model {model_name}")
        if version is None:
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise NotFoundError(f"Could not find version {version} of model {model_name}")
        return [known[version]]

    def close(self) -> None:
        """Stops watching and unloads the model, once its last request has left; a load that runs is awaited."""
        self._is_closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._swap_to(None)

    def _watch(self) -> None:
        while not self._is_closing.wait(self._poll_seconds):
            try:
                self.refresh()
            except OSError:
                _LOGGER.warning("cannot look for new versions of '%s' in %s; serving goes on", self.model_name,
                                self._base_path, exc_info=True)

    def _loaded(self, number: int) -> Predictor | None:
        """Loads a version, unless it failed before and its folder is as it was then."""
        folder = self._base_path / str(number)
        # Taken before loading: a folder that changes meanwhile is tried again.
        fingerprint = _fingerprint(folder)
        if self._failed_folders.get(number) == fingerprint:
            return None
        self._set_status(VersionStatus(number, VersionState.START))
        self._set_status(VersionStatus(number, VersionState.LOADING))
        try:
            predictor = self._load(folder)
        except Exception as error:
            # A boundary: whatever lies in a model's folder, the version before it must go on serving.
            _LOGGER.exception("version %d of '%s' cannot be loaded from %s", number, self.model_name, folder)
            self._failed_folders[number] = fingerprint
            self._set_status(VersionStatus(number, VersionState.END, f"{type(error).__name__}: {error}"))
            return None
        self._failed_folders.pop(number, None)
        return predictor

    def _swap_to(self, served: ServedVersion | None) -> None:
        with self._lock:
            retired, self._current = self._current, served
            if served is not None:
                self._statuses[served.number] = VersionStatus(served.number, VersionState.AVAILABLE)
            if retired is not None:
                retired.is_retired = True
                self._statuses[retired.number] = VersionStatus(retired.number, VersionState.UNLOADING)
            is_idle = retired is not None and retired.num_requests == 0
        if served is not None:
            _LOGGER.info("serving '%s' version %d%s", self.model_name, served.number,
                         "" if retired is None else f" instead of {retired.number}")
        if is_idle:
            self._unload(retired)

    def _unload(self, served: ServedVersion) -> None:
        served.predictor.close()
        with self._lock:
            # After a roll-back the same version may have been loaded again meanwhile.
            if self._statuses[served.number].state == VersionState.UNLOADING:
                self._statuses[served.number] = VersionStatus(served.number, VersionState.END)

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status

    def _nothing_to_serve(self) -> str:
        failures = [f"version {status.version}: {status.error}" for status in self._statuses.values() if status.error]
        if not failures:
            return (f"'{self._base_path}' holds no version of '{self.model_name}' to serve (folders named 1, 2, 3 …). "
                    "Train until the first export.")
        return (f"no version of '{self.model_name}' in '{self._base_path}' can be loaded. {'; '.join(failures)}. "
                "Export it again.")


def _fingerprint(folder: Path) -> _Fingerprint:
    """Changes when anything below the folder does; entries that vanish meanwhile are left out."""
    entries = []
    for entry in sorted(folder.rglob("*")):
        try:
            stat = entry.stat()
        except FileNotFoundError:
            continue
        entries.append((str(entry), stat.st_size, stat.st_mtime_ns))
    return tuple(entries)
