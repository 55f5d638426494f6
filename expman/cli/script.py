"""The program `experiments_manager`: finds the command, runs it, and gives the shell its exit code."""

from __future__ import annotations

import gc
import logging
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

_SCRIPT = "experiments_manager.py"
_BROKEN_PIPE_EXIT_CODE = 141  # as shells have it for what SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code.

    Arguments:
        arguments: without the program's name; None: those of this process.

    Raises:
        SystemExit: the arguments are wrong (2), or ask for the help (0).
    """
    from expman.cli.commands import all_commands
    from expman.cli.parsing import parse
    command, options = parse(list(sys.argv[1:] if arguments is None else arguments), commands=all_commands(),
                             program=_program())
    _log_to_terminal(debug=options.debug)
    from expman.errors import ExperimentError
    try:
        return command.run(options)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        logging.getLogger("expman").debug("This is where it was found.", exc_info=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def console() -> NoReturn:
    """Runs the command of this process's arguments and ends the process."""
    try:
        exit_code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        exit_code = _BROKEN_PIPE_EXIT_CODE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written
    gc.collect()  # iterators over data that Python code gives can only end while that code can still run
    sys.exit(exit_code)


def _reader_has_gone() -> bool:
    """Tells whether standard output is a pipe that nobody reads any more: `… | head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLERR)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _program() -> str:
    """Returns the program's name for its usage: that of the script in a clone, else that of the installed program."""
    return _SCRIPT if Path(sys.argv[0]).name == _SCRIPT else Path(_SCRIPT).stem


def _log_to_terminal(*, debug: bool) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for package in ("expman", "data_pipelines"):
        logging.getLogger(package).setLevel(logging.DEBUG if debug else logging.INFO)
