"""Holds back what is written to standard error, and shows it later: at the latest when the process dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

# It waits for a line, and where the writer is gone without one, it shows the file. Its standard input is the pipe to the writer,
# its standard output the file, open for reading.
_WATCHER = ["/bin/sh", "-c", "read -r line || exec cat <&1 >&2"]


class _HeldBack:
    """Sends what is written to standard error into a file, until `end`.

    A process of its own shows the file when this one dies before that, whatever it dies of: an abort or a segmentation fault of
    native code, `os._exit`, a signal that nobody can catch.

    Raises:
        OSError: the watcher cannot be started; all is as before.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as on_error, contextlib.ExitStack() as for_watcher:
            self._terminal = os.dup(2)
            on_error.callback(os.close, self._terminal)
            descriptor, name = tempfile.mkstemp()
            self._file: BinaryIO = on_error.enter_context(os.fdopen(descriptor, "r+b", buffering=0))
            # Opened once more, since the watcher shall read from the beginning, wherever this process writes.
            reader = for_watcher.enter_context(Path(name).open("rb"))
            Path(name).unlink()
            pipe_end, self._pipe = os.pipe()
            for_watcher.callback(os.close, pipe_end)
            on_error.callback(os.close, self._pipe)
            # In a session of its own, out of reach of a terminal's Ctrl-C and of a signal to all of this process's group.
            self._watcher = subprocess.Popen(_WATCHER, stdin=pipe_end, stdout=reader, env={"PATH": os.defpath},
                                             start_new_session=True)
            on_error.pop_all()
        self._flush()
        os.dup2(self._file.fileno(), 2)

    def end(self, drops: Callable[[bytes], bool]) -> None:
        """Shows the lines that are not dropped; what is written from now on goes where it went before."""
        self._flush()
        os.dup2(self._terminal, 2)
        self._file.seek(0)
        with open(2, "wb", closefd=False) as terminal:
            terminal.writelines(line for line in self._file.readlines() if not drops(line))
        with contextlib.suppress(BrokenPipeError):  # Somebody has ended the watcher.
            os.write(self._pipe, b"\n")
        self._close()
        self._watcher.wait()

    def leave(self) -> None:
        """Lets a forked child write where the parent wrote before; the watcher is the parent's."""
        os.dup2(self._terminal, 2)
        self._close()

    def _close(self) -> None:
        for descriptor in (self._terminal, self._pipe):
            os.close(descriptor)
        self._file.close()

    def _flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()


class _StandardError:
    """The standard error of this process, which only one thread at a time may hold back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held_back: _HeldBack | None = None
        os.register_at_fork(after_in_child=self._leave)

    @contextlib.contextmanager
    def holding_back(self, drops: Callable[[bytes], bool]) -> Iterator[None]:
        with self._lock:
            if self._held_back is not None:
                yield
                return
            try:
                held_back = _HeldBack()
            except OSError:
                # Without a watcher nothing is held back that might be lost.
                yield
                return
            self._held_back = held_back
            try:
                yield
            finally:
                if self._held_back is held_back:  # Else this is a forked child.
                    self._held_back = None
                    held_back.end(drops)

    def _leave(self) -> None:
        self._lock = threading.RLock()
        if self._held_back is not None:
            self._held_back.leave()
            self._held_back = None


_STANDARD_ERROR = _StandardError()


def held_back_stderr(*, drops: Callable[[bytes], bool]) -> contextlib.AbstractContextManager[None]:
    """Shows what is written to standard error inside the block only when it ends, and all of it if the process ends in there.

    It catches what native code writes. Another thread that wants the same waits for the end of the block; in a forked child the
    block has no effect. Where there is no shell that could watch over it, nothing is held back.

    Arguments:
        drops: tells of each line, with its line break, whether it is left out at the end of the block.
    """
    return _STANDARD_ERROR.holding_back(drops)
