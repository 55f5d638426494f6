"""Starts processes of their own that have TensorFlow already, from a server that forks them."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from expman.installation import import_path

_PRELOADED = "expman.sweeps.processes.preloaded"
_SECONDS_FOR_CHECKPOINT = 60.0


@dataclass
class IsolatedProcess:
    """A running process.

    Attributes:
        process: the process; `sentinel` is ready when it has ended.
        connection: gets the last message that the process sends; the process ends itself when this end is closed.
    """

    process: Any
    connection: Connection

    def message(self) -> Any:
        """Returns what the process sent, or None."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except EOFError:
            return None

    def terminate(self) -> None:
        """Asks for the end: a training writes a checkpoint first."""
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGTERM)

    def wait_or_kill(self, seconds: float = _SECONDS_FOR_CHECKPOINT) -> None:
        """Waits for the end after `terminate`; kills the process when that takes too long."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class IsolatedProcesses:
    """The server that forks processes; it ends with this process, and they end with it."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([_PRELOADED])

    def prepare(self) -> None:
        """Waits until the server has imported what it preloads, so that the first process does not wait for it."""
        self.start(_do_nothing).process.join()

    def start(self, target: Callable[..., None], *arguments: Any) -> IsolatedProcess:
        """Starts `target(*arguments, connection)` in a process of its own.

        Arguments:
            target: a function of a module.
            arguments: what multiprocessing can carry, connections among it.
        """
        with _project_on_path():
            multiprocessing.forkserver.ensure_running()
        own_end, other_end = self._context.Pipe()
        process = self._context.Process(target=_run, args=(target, arguments, other_end), daemon=False)
        with _without_main_module():
            process.start()
        other_end.close()
        return IsolatedProcess(process, own_end)


def _do_nothing(connection: Connection) -> None:
    """Ends at once."""


@contextlib.contextmanager
def _project_on_path() -> Iterator[None]:
    """Lets the server find what it preloads wherever it is started; it would leave out in silence what it does not find."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = import_path()
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Keeps new processes from importing the script that runs here, whose functions they do not need."""
    names = vars(sys.modules["__main__"])
    hidden = {name: names[name] for name in ("__spec__", "__file__") if name in names}
    names["__spec__"] = None
    names.pop("__file__", None)
    try:
        yield
    finally:
        names.update(hidden)


def _run(target: Callable[..., None], arguments: tuple[Any, ...], connection: Connection) -> None:
    os.setsid()  # Ctrl-C in the terminal is for the parent, which ends its children in its own way
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    # TensorFlow removes its temporary files when the interpreter ends, which forked processes do not do.
    with tempfile.TemporaryDirectory(prefix="expman-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        target(*arguments, connection)
    sys.stdout.flush()
    sys.stderr.flush()


def _end_with_parent(connection: Connection) -> None:
    """Waits until the parent is gone and ends this process: by SIGTERM, so that it can save, then at once."""
    try:
        connection.recv()  # the parent never sends
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS_FOR_CHECKPOINT)
        os._exit(1)
