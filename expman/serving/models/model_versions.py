"""Loads and retires the versions of one model, as its policy wants and its folder allows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from expman.errors import ExperimentError
from expman.serving.models.load_failures import LoadFailures
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.served_version import ServedVersion
from expman.serving.models.version_folders import Fingerprint, fingerprint, version_folders
from expman.serving.models.version_states import Routes, VersionState, VersionStatus
from expman.serving.traffic.traffic_rule import TrafficRequest, TrafficRule
from expman.wire.status import Code, StatusError

_LOGGER = logging.getLogger(__name__)


class ModelVersions:
    """The versions of one model; safe to use from several threads.

    Serves those that the policy wants among those on disk that can be loaded. A version that is no longer wanted serves on
    while one that is to take its place loads, and nothing is retired when no version is wanted or can be loaded.

    Arguments:
        config: the model.
        open_version: loads a version from a folder and warms it up; whatever it raises marks it as not loadable.
        start_load: runs a function in the background, some time.
        failures: of this model alone.
        traffic_rule: makes the rule that chooses the version which answers; called with each configuration.
    """

    def __init__(self, config: ModelConfig, *, open_version: Callable[[ModelConfig, int, Path], ServedVersion],
                 start_load: Callable[[Callable[[], None]], None], failures: LoadFailures,
                 traffic_rule: Callable[[ModelConfig], TrafficRule]) -> None:
        self.name = config.name
        self._open_version = open_version
        self._start_load = start_load
        self._look_lock = threading.Lock()  # One look at a time, so that an older one never overwrites a newer one.
        self._base_path_error = ""  # Why the base path has nothing to serve.
        self._told = ""  # What was last logged about it.
        self._make_rule = traffic_rule
        self._rule = traffic_rule(config)  # Read without a lock, as the routes are.
        self._routes = Routes()

        # Guards what follows; never held while the disk is read, or a version is loaded or closed.
        self._lock = threading.Lock()
        self._has_changed = threading.Condition(self._lock)
        self._config = config
        self._failures = failures
        self._folders: dict[int, Path] = {}
        self._loading: set[int] = set()
        self._serving: dict[int, ServedVersion] = {}
        self._retiring: list[ServedVersion] = []
        self._unloading: dict[int, ServedVersion] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._is_closed = False

    def acquire(self, request: TrafficRequest) -> ServedVersion:
        """Holds a version for one request; see `ModelStore.acquire`."""
        while True:
            served = self._rule.choose(request, self._routes)
            if served is None:
                raise self._not_found(request.version, request.label)
            # One that was closed between the two lines is not in the routes any more.
            if served.hold():
                return served

    def statuses(self, *, version: int | None, label: str | None) -> list[VersionStatus]:
        """Returns where the versions stand; see `ModelStore.statuses`."""
        if label is not None:
            version = self._labelled(label)
        with self._lock:
            known = dict(self._statuses)
        if version is None and known:
            return [known[number] for number in sorted(known, reverse=True)]
        if version in known:
            return [known[version]]
        wanted = "any versions" if version is None else f"version {version}"
        raise StatusError(Code.NOT_FOUND, f"Could not find {wanted} of model {self.name}")

    def available_versions(self) -> list[int]:
        """Returns the versions that answer now, ascending."""
        return sorted(self._routes.by_number)

    def update(self, config: ModelConfig) -> None:
        """Replaces the configuration, then looks at the base path."""
        with self._look_lock:
            self._rule = self._make_rule(config)
            with self._changing():
                if config.base_path != self._config.base_path:
                    self._folders = {}  # Those of the old path are not wanted, and those of the new one not known yet.
                self._config = config
            self._look()

    def look(self) -> None:
        """Looks once at the base path: starts to load what is new or changed, and retires what is no longer wanted."""
        with self._look_lock:
            self._look()

    def retry(self) -> None:
        """Starts to load again what failed and is due, without a look at the base path."""
        with self._changing():
            pass

    def wait_until_settled(self) -> None:
        """Waits until nothing is being loaded, or the model is closed."""
        with self._has_changed:
            self._has_changed.wait_for(lambda: not self._loading or self._is_closed)

    def error(self) -> str | None:
        """Returns why no version serves, with the remedy; None when one does."""
        with self._lock:
            if self._serving or self._is_closed:
                return None
            errors = [f"version {number}: {self._statuses[number].error}" for number in sorted(self._folders, reverse=True)
                      if number in self._statuses and self._statuses[number].error]
        if not errors:
            return self._base_path_error
        return (f"no version of '{self.name}' in '{self._config.base_path}' can be loaded. {'; '.join(errors)}. "
                "Export it again.")

    def close(self) -> None:
        """Lets no request in any more and loads nothing more; each version is closed once its last request has left."""
        with self._changing():
            self._is_closed = True

    def _look(self) -> None:
        config = self._config
        try:
            folders = version_folders(config.base_path)
        except FileNotFoundError:
            folders = {}
        except OSError as error:
            self._set_base_path_error(f"'{config.base_path}', the base path of '{self.name}', cannot be read ({error.strerror}). "
                           "Make it readable.")
            self.retry()
            return
        if not config.version_policy.wanted(folders):
            self._set_base_path_error(f"'{config.base_path}' holds no version of '{self.name}' to serve (folders named 1, 2, 3 …; "
                           f"wanted: {config.version_policy}). Train until the first export, or correct the path.")
        else:
            self._base_path_error = ""
            missing = sorted(config.version_policy.missing(folders))
            self._tell_once(f"'{config.base_path}' lacks versions of '{self.name}' that are configured: {missing}"
                            if missing else "")
        changed = self._failures.changed(folders)
        with self._changing():
            self._folders = folders
            for number in changed:
                self._failures.forget(number)

    def _set_base_path_error(self, error: str) -> None:
        self._base_path_error = error
        if self._routes.newest is not None:  # Else `error` tells it.
            self._tell_once(f"{error} What is loaded serves on.")

    def _tell_once(self, text: str) -> None:
        if text and text != self._told:
            _LOGGER.warning("%s", text)
        self._told = text

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the lock for a change, then does what follows from it: loads, retires, tells those who wait."""
        with self._lock:
            before = set(self._serving.values())
            yield
            self._start_loads()
            self._retire_surplus()
            self._routes = self._routes.replaced(self._serving, self._config.labels)
            retired, self._retiring = self._retiring, []
            started = [served for served in self._serving.values() if served not in before]
            self._has_changed.notify_all()
        for served in started:
            _LOGGER.info("serving '%s' version %d from %s", self.name, served.number, served.folder)
        for served in retired:
            if served in before:
                _LOGGER.info("no longer serving '%s' version %d from %s", self.name, served.number, served.folder)
            served.retire(self._unloaded)

    def _wanted(self) -> set[int]:
        if self._is_closed:
            return set()
        return self._config.version_policy.wanted({number for number in self._folders if not self._failures.blocks(number)})

    def _serves(self, number: int) -> bool:
        """Returns True when a version serves from where it is now, not from the base path of an earlier configuration."""
        return number in self._serving and self._serving[number].folder == self._folders.get(number)

    def _start_loads(self) -> None:
        for number in sorted(self._wanted(), reverse=True):
            if number not in self._loading and not self._serves(number):
                self._loading.add(number)
                self._set_status(VersionStatus(number, VersionState.START))
                self._start_load(lambda number=number: self._load(number))

    def _retire_surplus(self) -> None:
        """Retires what nobody wants, but keeps the newest of it in the place of each wanted version that is not there yet."""
        wanted = self._wanted()
        unwanted = sorted(self._serving.keys() - wanted, reverse=True)
        if self._is_closed:
            surplus = unwanted
        elif wanted:
            surplus = unwanted[sum(not self._serves(number) for number in wanted):]
        else:
            surplus = []
        for number in surplus:
            self._retire(self._serving.pop(number))

    def _retire(self, served: ServedVersion) -> None:
        self._retiring.append(served)
        self._unloading[served.number] = served
        self._set_status(VersionStatus(served.number, VersionState.UNLOADING))

    def _unloaded(self, served: ServedVersion) -> None:
        with self._lock:
            # The same version may have been loaded and retired again meanwhile.
            if self._unloading.get(served.number) is served:
                del self._unloading[served.number]
                if self._statuses[served.number].state == VersionState.UNLOADING:
                    self._statuses[served.number] = VersionStatus(served.number, VersionState.END)

    def _load(self, number: int) -> None:
        """Loads one version, in a thread for that."""
        with self._lock:
            config, folder = self._config, self._folders.get(number)
            is_wanted = number in self._wanted()
            if is_wanted:
                self._set_status(VersionStatus(number, VersionState.LOADING))
        if not is_wanted:  # A newer one has come while this one waited for a thread.
            with self._changing():
                self._loading.remove(number)
                self._set_status(VersionStatus(number, VersionState.END))
            return
        seen = fingerprint(folder)
        try:
            served = self._open_version(config, number, folder)
        except Exception as error:
            # A boundary: whatever lies in a model's folder, the version before it must go on serving.
            self._note_failure(number, folder, seen, error)
            return
        with self._changing():
            self._loading.remove(number)
            self._failures.forget(number)
            self._take_in(served)

    def _take_in(self, served: ServedVersion) -> None:
        number = served.number
        if self._folders.get(number, served.folder) != served.folder:  # The base path is another one meanwhile.
            self._retire(served)
            return
        replaced = self._serving.get(number)
        self._serving[number] = served
        self._set_status(VersionStatus(number, VersionState.AVAILABLE))
        if replaced is not None:
            self._retire(replaced)

    def _note_failure(self, number: int, folder: Path, seen: Fingerprint, error: Exception) -> None:
        # These two say in plain words what is wrong with the model; anything else needs its traceback.
        is_plain = isinstance(error, (StatusError, ExperimentError))
        text = str(error) if is_plain else f"{type(error).__name__}: {error}"
        code = error.code if isinstance(error, StatusError) else Code.UNKNOWN
        _LOGGER.error("version %d of '%s' cannot be loaded from %s: %s", number, self.name, folder, text,
                      exc_info=None if is_plain else error)
        with self._changing():
            self._loading.remove(number)
            if self._folders.get(number) == folder:
                self._failures.add(number, folder, seen)
            self._set_status(VersionStatus(number, VersionState.END, text, code))

    def _set_status(self, status: VersionStatus) -> None:
        # One that serves from an earlier base path goes on while its successor of the same number is loaded, or fails.
        if status.state == VersionState.AVAILABLE or status.version not in self._serving:
            self._statuses[status.version] = status

    def _labelled(self, label: str) -> int:
        """Returns the version that a label points to, or will once that serves."""
        if label in self._routes.by_label:
            return self._routes.by_label[label].number
        if label in self._config.labels:
            return self._config.labels[label]
        raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")

    def _not_found(self, version: int | None, label: str | None) -> StatusError:
        if label is not None:
            version = self._labelled(label)
        wanted = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
        return StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
