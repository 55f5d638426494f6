"""Servers that run leave their ports in the folder of their experiment, where clients find them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from expman.errors import UsageError
from expman.installation import program
from expman.records.experiment_folder import ExperimentFolder

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningServer:
    """One server.

    Attributes:
        pid: its process.
        host: the machine where it runs.
        port: for gRPC.
        rest_port: for REST; 0: none.
        started: when, in seconds since 1970.
    """

    pid: int
    host: str
    port: int
    rest_port: int
    started: float


def start_command(model_dir: str | os.PathLike[str]) -> str:
    """Returns what starts a server for an experiment, as one types it."""
    return f"{program()} --start_server --model_dir {shlex.quote(str(model_dir))}"


@contextlib.contextmanager
def announced(folder: Path, *, port: int, rest_port: int) -> Iterator[None]:
    """Keeps a file about this process in a folder while the block lasts.

    The file is locked as long as the process lives: one that is killed leaves a file that nobody takes for a server.

    Arguments:
        folder: of such files; made when absent, and removed with the last of them.
        port, rest_port: where this process serves.
    """
    server = RunningServer(os.getpid(), socket.gethostname(), port, rest_port, time.time())
    file = folder / f"{server.host}-{server.pid}.json"
    try:
        _remove_files_of_dead_servers(folder)
        descriptor = _write_locked(file, json.dumps(asdict(server)))
    except OSError as error:
        _LOGGER.warning("%s cannot be written (%s): clients must be told the port.", file, error.strerror)
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # of the folder: another server of the experiment runs
            file.unlink()
            folder.rmdir()
        os.close(descriptor)


def newest_server(folder: Path) -> RunningServer | None:
    """The server of this machine that was started last among those that run; None when there is none."""
    servers = [server for file in folder.glob("*.json") if _is_locked(file) and (server := _read(file))]
    own = [server for server in servers if server.host == socket.gethostname()]
    return max(own, key=lambda server: server.started, default=None)


def server_port(folder: ExperimentFolder, *, otherwise: int) -> int:
    """Returns the port at which a client finds the server of an experiment.

    Arguments:
        folder: the experiment.
        otherwise: the port that the settings name, for a server that has left no file.

    Raises:
        UsageError: no server runs, and the settings leave the port open.
    """
    server = newest_server(folder.servers)
    if server is not None:
        return server.port
    if otherwise == 0:
        raise UsageError(f"No server of {folder.path} runs on this machine, and tensorflow_server_port is 0, which stands for "
                         f"any free port. Start one by `{start_command(folder.path)}`, or say where it is by --port.")
    return otherwise


def _write_locked(file: Path, content: str) -> int:
    """Writes a file that is complete and locked when it gets its name; returns what keeps it locked."""
    unfinished = file.with_suffix(".tmp")
    descriptor = _open_in_folder(unfinished)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, content.encode("utf-8"))
        os.replace(unfinished, file)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_in_folder(file: Path) -> int:
    """Opens a new file for writing in a folder that another server, which ends, may remove meanwhile."""
    while True:
        file.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)


def _remove_files_of_dead_servers(folder: Path) -> None:
    for file in folder.glob(f"{socket.gethostname()}-*"):
        if not _is_locked(file):
            file.unlink(missing_ok=True)


def _is_locked(file: Path) -> bool:
    """Returns True while the process that wrote the file lives; False where the file system has no locks."""
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read(file: Path) -> RunningServer | None:
    """None for a file that has just been removed, or that something else wrote."""
    try:
        return RunningServer(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
