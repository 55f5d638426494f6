"""Python programs as processes of their own, forked from one that has TensorFlow already: a start takes hundredths of a second.

They are real processes: they can be killed, their memory is their own, they end as Python does. What a test holds of the start
itself (`--help`, what is imported, messages of TensorFlow's import) needs `subprocess` with `sys.executable` instead.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tests.support.project import ROOT

SCRIPT = str(ROOT / "experiments_manager.py")


class ForkedProcess:
    """A running program; has what tests use of `subprocess.Popen`.

    Attributes:
        pid: its process id.
        stdout: what it prints, if that is read by the test.
        stderr: its errors, if they are read by the test.
        returncode: the exit code, below 0 for the signal that ended it; None as long as it is not known to have ended.
    """

    def __init__(self, arguments: list[str], answers: socket.socket, streams: Mapping[str, IO[str]]) -> None:
        self.args = [sys.executable, *arguments]
        self.stdout = streams.get("stdout")
        self.stderr = streams.get("stderr")
        self.returncode: int | None = None
        self._answers = answers
        self._readers: list[threading.Thread] = []
        self._texts: dict[str, str] = {}
        self.pid: int = self._read_answer()["pid"]

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = self._read_answer()["returncode"]
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(self.args, timeout) from None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        """Reads all that it still prints and waits for its end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            self._readers = [threading.Thread(target=self._read_all, args=(name,), daemon=True)
                             for name in ("stdout", "stderr") if getattr(self, name)]
            for reader in self._readers:
                reader.start()
        for reader in self._readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return self._texts.get("stdout"), self._texts.get("stderr")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read_answer(self) -> dict[str, int]:
        message = self._answers.recv(1024)
        return json.loads(message) if message else {"returncode": -signal.SIGKILL}

    def _read_all(self, name: str) -> None:
        with getattr(self, name) as stream:
            self._texts[name] = "" if stream.closed else stream.read()


def start_python(*arguments: str | Path, cwd: str | Path = ROOT, env: Mapping[str, str] | None = None,
                 stdout: int | IO[Any] = subprocess.PIPE, stderr: int | IO[Any] = subprocess.PIPE) -> ForkedProcess:
    """Starts what `python ARGUMENTS` would, with TensorFlow imported already.

    Arguments:
        arguments: a script's path, or `-m` and a module, or `-c` and code, each with arguments.
        cwd: the working directory.
        env: all of the environment; None: this process's.
        stdout: as of `subprocess.Popen`.
        stderr: as of `subprocess.Popen`.
    """
    request = {"arguments": [str(argument) for argument in arguments], "cwd": str(cwd),
               "environment": dict(os.environ if env is None else env)}
    own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.ExitStack() as opened:
        opened.enter_context(other_end)
        output, output_stream = _target(stdout, opened)
        errors, errors_stream = (output, None) if stderr == subprocess.STDOUT else _target(stderr, opened)
        socket.send_fds(_server(), [json.dumps(request).encode()], [output, errors, other_end.fileno()])
    streams = {"stdout": output_stream, "stderr": errors_stream}
    return ForkedProcess(request["arguments"], own_end, {name: stream for name, stream in streams.items() if stream})


def run_python(*arguments: str | Path, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs what `python ARGUMENTS` would to its end; what it printed is in the result."""
    process = start_python(*arguments, **options)
    try:
        output, errors = process.communicate(timeout)
    finally:
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start_script(*arguments: str | Path, **options: Any) -> ForkedProcess:
    """Starts `experiments_manager.py ARGUMENTS`."""
    return start_python(SCRIPT, *arguments, **options)


def run_script(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `experiments_manager.py ARGUMENTS` to its end; what it printed is in the result."""
    return run_python(SCRIPT, *arguments, **options)


def _target(wanted: int | IO[Any], opened: contextlib.ExitStack) -> tuple[int, IO[str] | None]:
    """The open file into which a program writes, and the stream from which a test reads it."""
    if wanted == subprocess.PIPE:
        reading, writing = os.pipe()
        opened.callback(os.close, writing)
        return writing, open(reading, encoding="utf-8")
    if wanted == subprocess.DEVNULL:
        return opened.enter_context(open(os.devnull, "wb")).fileno(), None
    return wanted if isinstance(wanted, int) else wanted.fileno(), None


@functools.cache
def _server() -> socket.socket:
    """Starts the fork server, once for all tests of this process; it ends with this process."""
    own_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other_end:
        subprocess.Popen([sys.executable, "-m", "tests.support.fork_server", str(other_end.fileno())], cwd=ROOT,
                         pass_fds=[other_end.fileno()], stdin=subprocess.DEVNULL)
    return own_end
