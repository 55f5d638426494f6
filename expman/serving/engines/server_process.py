"""Runs a model server as a child process."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from expman.serving.stop_signals import stop_signals

_POLL_SECONDS = 0.2


def run_server_process(command: Sequence[str]) -> int:
    """Runs a command line, and hands SIGINT and SIGTERM on to it.

    Returns:
        The process's exit code; 0 when it ended by the signal that was handed on, 128 + number for any other signal.
    """
    handed_on = set()
    # A session of its own: a terminal's Ctrl-C would otherwise reach the server twice.
    with stop_signals() as signals, subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None:
            if (number := signals.next(timeout_seconds=_POLL_SECONDS)) is not None:
                handed_on.add(number)
                process.send_signal(number)
    if process.returncode >= 0:
        return process.returncode
    return 0 if -process.returncode in handed_on else 128 - process.returncode
