"""The models that are served: loads their versions, watches for new ones, and hands them to requests."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from expman.errors import ServingError
from expman.runtimes.predictor import Predictor
from expman.serving.models.load_failures import LoadFailures
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_versions import ModelVersions
from expman.serving.models.served_version import ServedVersion
from expman.serving.models.version_states import VersionStatus
from expman.serving.traffic.named_or_newest import named_or_newest
from expman.serving.traffic.traffic_rule import TrafficRequest, TrafficRule
from expman.wire.status import Code, StatusError

_LOGGER = logging.getLogger(__name__)

_LOADING_NICENESS = 10


class ModelStore:
    """Serves several models, each with the versions that its configuration wants.

    A new version is loaded and warmed up before it takes the place of an old one, which is closed when its last request has
    left. A version that cannot be loaded leaves the one before it serving, and is tried again when its folder changes, and
    a few times while it does not. When the newest folder is removed, the newest of those left is served: that is how to
    roll back. Loading happens in threads of its own, so that neither requests nor other models wait for it.

    Arguments:
        load: makes a predictor of a version's folder; whatever it raises marks the version as not loadable.
        warm_up: given a version and its folder, sends it requests before it serves; likewise.
        poll_seconds: time between two looks at the base paths; 0: they are looked at once, and with each `reload`.
        num_load_threads: versions that are loaded at the same time. The first ones, before anything is served: one a core.
        max_num_load_retries: how often a version whose folder does not change is tried again.
        load_retry_interval_seconds: time before each of these tries.
        traffic_rule: makes of a model's configuration the rule that chooses the version which answers a request.

    Example:
        store = ModelStore(load=lambda folder, config: SavedModelPredictor(folder))
        store.start([ModelConfig("digits", base_path)])
        with store.acquire("digits") as served:
            served.predictor.run({"x:0": array}, ["y:0"])
        store.close()
    """

    def __init__(self, *, load: Callable[[Path, ModelConfig], Predictor],
                 warm_up: Callable[[ServedVersion, Path], None] | None = None, poll_seconds: float = 1.0,
                 num_load_threads: int = 1, max_num_load_retries: int = 5, load_retry_interval_seconds: float = 60.0,
                 traffic_rule: Callable[[ModelConfig], TrafficRule] = named_or_newest) -> None:
        for name, value, least in (("poll_seconds", poll_seconds, 0), ("num_load_threads", num_load_threads, 1),
                                   ("max_num_load_retries", max_num_load_retries, 0),
                                   ("load_retry_interval_seconds", load_retry_interval_seconds, 0)):
            if value < least:
                raise ValueError(f"{name} must be {least} or more. Got {value}.")
        self._load = load
        self._warm_up = warm_up
        self._poll_seconds = poll_seconds
        self._num_load_threads = num_load_threads
        self._max_num_load_retries = max_num_load_retries
        self._load_retry_interval_seconds = load_retry_interval_seconds
        self._traffic_rule = traffic_rule
        self._loaders = ThreadPoolExecutor(max(num_load_threads, os.cpu_count() or 1), thread_name_prefix="first-load")
        self._models: Mapping[str, ModelVersions] = {}  # Replaced, never changed: requests read it without a lock.
        self._config_lock = threading.Lock()  # One change of the models at a time; never held while loading.
        self._is_closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="model-versions")

    def start(self, models: Sequence[ModelConfig]) -> None:
        """Loads the models, then watches their base paths in a thread.

        Raises:
            ServingError: models have no version, or none that can be loaded; tells all of them. The store is closed then.
        """
        try:
            self._apply(models)
            if errors := self._errors_once_settled(models):
                raise ServingError("\n".join(errors.values()))
        except BaseException:
            self.close()
            raise
        first_loaders, self._loaders = self._loaders, ThreadPoolExecutor(
            self._num_load_threads, thread_name_prefix="load", initializer=_give_way)
        first_loaders.shutdown()
        self._watcher.start()

    def reload(self, models: Sequence[ModelConfig]) -> None:
        """Replaces the models: adds, changes and removes, looks at all base paths, and waits until what is new is loaded.

        Requests find a model that was removed no longer; those that run are answered.

        Raises:
            StatusError: UNKNOWN, models have no version that can be loaded (all else is served, and they are watched on);
                UNAVAILABLE, the store is closing.
        """
        self._apply(models)
        if errors := self._errors_once_settled(models):
            raise StatusError(Code.UNKNOWN, f"{len(errors)} model(s) did not become available: " + "; ".join(
                f"{{{name}: {error}}}" for name, error in errors.items()))

    def acquire(self, name: str, *, version: int | None = None, label: str | None = None, key: str = "") -> ServedVersion:
        """Holds a version for one request: it stays loaded until the `with` block is left. The traffic rule chooses it.

        Arguments:
            version: the version that the request names, if it does.
            label: or the label.
            key: see `TrafficRequest`.

        Raises:
            StatusError: NOT_FOUND, the model or the version is not served; INVALID_ARGUMENT, there is no such label.
        """
        model = self._models.get(name)
        if model is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            if label is not None:
                raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return model.acquire(TrafficRequest(name, version, label, key))

    def statuses(self, name: str, *, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """Returns the versions of a model that were seen since the start, newest first; just one if asked for.

        Raises:
            StatusError: NOT_FOUND, the model is not served here, or the version was never seen; INVALID_ARGUMENT, there is
                no such label.
        """
        model = self._models.get(name)
        if model is None:
            raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return model.statuses(version=version, label=label)

    def available_versions(self) -> dict[str, list[int]]:
        """Returns model -> its versions that answer now, ascending."""
        return {name: model.available_versions() for name, model in self._models.items()}

    def look(self) -> None:
        """Looks at all base paths now; does not wait for what is then loaded."""
        for model in self._models.values():
            model.look()

    def close(self) -> None:
        """Stops watching, waits for loads that run, and closes each version once its last request has left."""
        self._is_closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with self._config_lock:
            for model in self._models.values():
                model.close()
        self._loaders.shutdown()

    def _apply(self, models: Sequence[ModelConfig]) -> None:
        if len({config.name for config in models}) < len(models):
            raise ValueError(f"Each model must have a name of its own. Got {[config.name for config in models]}.")
        with self._config_lock:
            if self._is_closing.is_set():
                raise StatusError(Code.UNAVAILABLE, "The server is stopping.")
            before = self._models
            self._models = {config.name: before.get(config.name) or self._new_model(config) for config in models}
            for name in before.keys() - self._models.keys():
                before[name].close()
            for config in models:
                self._models[config.name].update(config)

    def _new_model(self, config: ModelConfig) -> ModelVersions:
        failures = LoadFailures(max_num_retries=self._max_num_load_retries,
                                retry_interval_seconds=self._load_retry_interval_seconds)
        return ModelVersions(config, open_version=self._open_version, failures=failures,
                             start_load=lambda load: self._loaders.submit(load), traffic_rule=self._traffic_rule)

    def _open_version(self, config: ModelConfig, number: int, folder: Path) -> ServedVersion:
        predictor = self._load(folder, config)
        served = ServedVersion(config.name, number, predictor, folder=folder)
        if self._warm_up is not None:
            try:
                self._warm_up(served, folder)
            except BaseException:
                predictor.close()
                raise
        return served

    def _errors_once_settled(self, models: Sequence[ModelConfig]) -> dict[str, str]:
        """Waits until nothing of these models is being loaded; returns name -> why it has no version that serves."""
        errors = {}
        current = self._models
        for model in (current[config.name] for config in models if config.name in current):
            model.wait_until_settled()
            if (error := model.error()) is not None:
                errors[model.name] = error
        return errors

    def _watch(self) -> None:
        # Without looks at the base paths, what failed is still to be tried again.
        seconds = self._poll_seconds or self._load_retry_interval_seconds or None
        while not self._is_closing.wait(seconds):
            for model in self._models.values():
                try:
                    if self._poll_seconds:
                        model.look()
                    else:
                        model.retry()
                except Exception:
                    # A boundary: what goes wrong with one model must not end the watch over the others.
                    _LOGGER.exception("cannot look for new versions of '%s'; serving goes on", model.name)


def _give_way() -> None:
    """Lets the threads that answer requests go before this one, wherever they want the same core."""
    if sys.platform == "linux":  # elsewhere a priority belongs to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOADING_NICENESS)
