"""Several embedded servers on the same ports: started together, replaced when they die, stopped together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from expman.errors import ServingError
from expman.installation import child_environment
from expman.serving.endpoint import available_port
from expman.serving.observers.metrics_folder import forget_dead_worker, shared_metrics_folder
from expman.serving.stop_signals import StopSignals, stop_signals

_LOGGER = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0


class Worker:
    """One server process.

    Arguments:
        command: starts it.

    Attributes:
        ready_line: what it printed when it could answer; None before.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._num_failures = 0
        self._pause_ends = 0.0
        self._start()

    def _start(self) -> None:
        self.ready_line: str | None = None
        # Its own session: a terminal's Ctrl-C would otherwise reach it twice. The pipe to its standard input ends with this
        # process, however that ends, and the worker with it.
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True, env=child_environment())
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:
            if process is self.process and self.ready_line is None:
                self.ready_line = line.rstrip("\n")
                self._num_failures = 0

    def replace_if_dead(self) -> None:
        """Starts the process anew when it has ended; after a while, if it ends again and again before it is ready."""
        if self.process.poll() is None or time.monotonic() < self._pause_ends:
            return
        if self._pause_ends == 0:
            pause_seconds = min(_LONGEST_PAUSE_SECONDS, 0.1 * 4 ** self._num_failures) if self._num_failures else 0
            _LOGGER.error("worker %d ended (exit code %d) and is replaced%s", self.process.pid, self.process.returncode,
                          f" in {pause_seconds:g} s" if pause_seconds else "")
            self._num_failures += 1
            self._pause_ends = time.monotonic() + pause_seconds
            return
        self._pause_ends = 0.0
        self.close_pipes()
        forget_dead_worker(self.process.pid)
        self._start()

    def close_pipes(self) -> None:
        """Call it when the process has ended."""
        self.process.stdin.close()


def run_workers(arguments: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Serves with `num_workers` processes until SIGINT or SIGTERM; prints one line when all are ready.

    Arguments:
        arguments: the command line.
        flags: the same, parsed.

    Returns:
        The exit code: 0 when all workers have ended well.

    Raises:
        ServingError: a port cannot be had, or a worker cannot start; it has told why on standard error.
    """
    if flags["grpc_socket_path"]:
        raise ServingError("--grpc_socket_path goes with one worker only: a Unix socket cannot be shared. "
                           "Leave out --num_workers.")
    own = [argument for argument in arguments if not argument.lstrip("-").startswith("num_workers")]
    command = [sys.executable, "-m", "expman.serving", *core_slot_flags(flags), *own, "--is_worker"]
    with ExitStack() as undo, stop_signals() as signals:
        for port in filter(None, (flags["port"], flags["rest_api_port"])):
            undo.enter_context(_reserved(flags["address"], port))
        if flags["monitoring_config_file"]:
            undo.enter_context(shared_metrics_folder())
        workers = [Worker([*command, f"--worker_number={number}"]) for number in range(flags["num_workers"])]
        undo.callback(_end_all, workers)
        number = None
        while number is None and not all(worker.ready_line for worker in workers):
            for worker in workers:
                if worker.process.poll() is not None:
                    raise ServingError(f"worker {worker.process.pid} ended (exit code {worker.process.returncode}) "
                                       "before it could answer; see above.")
            number = signals.next(timeout_seconds=_POLL_SECONDS)
        if number is None:
            print(workers[0].ready_line.replace("embedded", f"embedded, {len(workers)} workers"), flush=True)
        while number is None:
            for worker in workers:
                worker.replace_if_dead()
            number = signals.next(timeout_seconds=_POLL_SECONDS)
        return _stopped(workers, number, signals)


def cores_for_each(num_runs: int) -> int:
    """Returns how many cores an operation may use where several runs of models go on at the same time, at least one.

    TensorFlow would give an operation all cores in each run, and these then wait for one another: two runs on two cores answer
    a small convolutional network a third as often so (docs/serving_speed.md).
    """
    return max(1, len(os.sched_getaffinity(0)) // num_runs)


def core_slot_flags(flags: Mapping[str, Any]) -> list[str]:
    """Returns the flag that keeps an operation of a worker to its slot of cores; none where a flag says what it may use."""
    if any(flags[name] for name in ("tensorflow_intra_op_parallelism", "tensorflow_session_parallelism",
                                    "tensorflow_session_config_file")):
        return []
    return [f"--tensorflow_intra_op_parallelism={cores_for_each(flags['num_workers'])}"]


def end_with_standard_input() -> None:
    """Makes a worker stop as on SIGTERM when the process that started it is gone."""
    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _reserved(address: str, port: int) -> Iterator[None]:
    """Keeps a port for the workers while none of them listens; bound but not listening, it gets no connection itself."""
    available_port(address, port)
    family, kind, protocol, _, socket_address = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind, protocol) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(socket_address)
        yield


def _stopped(workers: Sequence[Worker], number: int | None, signals: StopSignals) -> int:
    """Hands stop signals on until all workers have ended; returns the exit code."""
    sent = set()
    while any(worker.process.poll() is None for worker in workers):
        if number is not None:
            sent.add(number)
            for worker in workers:
                worker.process.send_signal(number)
        number = signals.next(timeout_seconds=_POLL_SECONDS)
    # One that the signal reached while it was still starting had nothing to answer.
    return max((abs(worker.process.returncode) for worker in workers if -worker.process.returncode not in sent), default=0)


def _end_all(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
        worker.close_pipes()
