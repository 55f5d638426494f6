"""The process from which tests fork Python programs that find TensorFlow imported already; see `processes`.

A forked program ends as Python does by itself: with its exit functions, its traceback and its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_REQUEST_BYTES = 2**20


@dataclass(frozen=True)
class Program:
    """What a forked process shall be.

    Attributes:
        arguments: of the Python interpreter: a script's path, `-m` and a module or `-c` and code, each with its arguments.
        cwd: the working directory.
        environment: all of its environment.
    """

    arguments: list[str]
    cwd: str
    environment: dict[str, str]

    def run(self) -> None:
        """Becomes the program."""
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.environment)
        first, *others = self.arguments
        folder = {"-c": "", "-m": self.cwd}.get(first, str(Path(first).resolve().parent))
        sys.path[:1] = [folder, *filter(None, self.environment.get("PYTHONPATH", "").split(os.pathsep))]
        if first == "-m":
            sys.argv = list(others)
            runpy.run_module(others[0], run_name="__main__", alter_sys=True)
        elif first == "-c":
            sys.argv = ["-c", *others[1:]]
            exec(compile(others[0], "<string>", "exec"), vars(sys.modules["__main__"]))
        else:
            sys.argv = list(self.arguments)
            runpy.run_path(first, run_name="__main__")


class ForkServer:
    """Forks a program for each request and tells how each ended.

    A request is a JSON message over the control socket, with three open files: standard output, standard error and a socket over
    which the server answers the process id at once and the exit code at the end. The server ends when the control socket closes.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._answers: dict[int, socket.socket] = {}
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes)

    def serve(self) -> Program | None:
        """Returns the program in each forked process, None in the server when it is to end."""
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                os.read(self._woken, 4096)
                self._tell_ends()
            if self._control in readable:
                message, files, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, 3)
                if not message:
                    return None
                program = self._fork(json.loads(message), files)
                if program:
                    return program

    def _fork(self, request: dict, files: list[int]) -> Program | None:
        pid = os.fork()
        if pid == 0:
            self._leave()
            for standard, file in zip((1, 2), files, strict=False):
                os.dup2(file, standard)
            for file in files:
                os.close(file)
            return Program(**request)
        answers = socket.socket(fileno=files.pop())
        self._answers[pid] = answers
        answers.send(json.dumps({"pid": pid}).encode())
        for file in files:
            os.close(file)
        return None

    def _leave(self) -> None:
        """Makes a forked process a fresh one: no open files and signals of the server, random numbers of its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        for answers in self._answers.values():
            answers.close()
        os.close(self._woken)
        os.close(self._wakes)
        random.seed()
        sys.modules["numpy"].random.seed()

    def _tell_ends(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                with self._answers.pop(pid) as answers, contextlib.suppress(BrokenPipeError):
                    answers.send(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}).encode())


def main() -> Program | None:
    """Imports what programs need and serves."""
    import expman.sweeps.processes.preloaded  # noqa: F401  what forked processes may share, and nothing more
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the tests
    return ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    program = main()
    if program:
        program.run()
