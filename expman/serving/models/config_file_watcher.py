"""Reloads the models when the file that lists them changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from expman.errors import ServingError
from expman.serving.models.model_config import read_model_configs
from expman.serving.models.model_store import ModelStore
from expman.wire.status import StatusError

_LOGGER = logging.getLogger(__name__)


class ConfigFileWatcher:
    """Looks at a `model_config_file` now and then, in a thread.

    A file that cannot be read, or is wrong, leaves all as it is; so does an empty one, which may be half written. That is
    logged once for each change of the file.

    Arguments:
        file: the text form of a ModelServerConfig.
        store: what serves its models, started already.
        poll_seconds: time between two looks.
    """

    def __init__(self, file: Path, *, store: ModelStore, poll_seconds: float) -> None:
        self._file = file
        self._store = store
        self._poll_seconds = poll_seconds
        # Nothing was seen yet: the file may have changed since the store was started with it.
        self._seen: bytes | str | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-config-file")

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; waits for a reload that runs."""
        self._is_stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Looks once: reloads the models if the file is another one than at the last look."""
        content = self._content()
        if content == self._seen:
            return
        self._seen = content
        try:
            models = read_model_configs(self._file)
        except ServingError as error:
            _LOGGER.error("%s. The models stay as they are.", error)
            return
        if not models and not content.strip():
            _LOGGER.error("%s is empty. The models stay as they are; `model_config_list {}` would remove them.", self._file)
            return
        try:
            self._store.reload(models)
        except StatusError as error:
            _LOGGER.error("%s was read anew: %s", self._file, error)
        else:
            _LOGGER.info("%s was read anew", self._file)

    def _content(self) -> bytes | str:
        try:
            return self._file.read_bytes()
        except OSError as error:
            return str(error)

    def _watch(self) -> None:
        while not self._is_stopping.wait(self._poll_seconds):
            try:
                self.look()
            except Exception:
                # A boundary: the models serve on whatever happens here.
                _LOGGER.exception("%s could not be read anew; the models stay as they are", self._file)
