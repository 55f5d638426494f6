"""The folder in which the processes of a server keep their counters, so that each can tell those of all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expman.errors import ServingError

# Read by prometheus_client when it is imported; what other observers count with it lands there, too.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "expman_metrics_"


def new_metrics_folder() -> Path:
    """Makes a folder for the counters of a server.

    Raises:
        ServingError: that is impossible where temporary files belong.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise ServingError(f"cannot make a temporary folder for Prometheus' counters: {error}. Let TMPDIR name a folder that can "
                           "be written, or leave out --monitoring_config_file.") from error


@contextmanager
def shared_metrics_folder() -> Iterator[Path]:
    """Makes the folder, names it to this process and its children, and removes it in the end.

    One that the environment names already is not used: it is another program's, whose counters would be mixed with these.
    """
    previous = os.environ.get(FOLDER_VARIABLE)
    folder = new_metrics_folder()
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if previous is None:
            del os.environ[FOLDER_VARIABLE]
        else:
            os.environ[FOLDER_VARIABLE] = previous
        shutil.rmtree(folder, ignore_errors=True)


def inherited_metrics_folder() -> Path | None:
    """Returns the folder that the supervisor of this worker has made; None when it counts nothing."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    return Path(folder) if Path(folder).name.startswith(_PREFIX) else None


def remove_inherited_metrics_folder() -> None:
    """Removes the folder in place of a supervisor that was killed."""
    if (folder := inherited_metrics_folder()) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def forget_dead_worker(process_id: int) -> None:
    """Removes what a worker that has died told of its present state; what it has counted stays.

    To be called by the supervisor, within `shared_metrics_folder`.
    """
    if inherited_metrics_folder() is not None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(process_id)
