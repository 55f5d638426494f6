"""`python -m expman.serving`: the embedded server with the flags of `tensorflow_model_server`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from expman.errors import ServingError
from expman.serving.server_flags import flags_help, parse_flags

_FAILURE_EXIT_CODE = 255  # As tensorflow_model_server's.


def main(arguments: Sequence[str]) -> int:
    """Serves until a signal; returns the exit code for the shell."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if {"-h", "--help", "-help"} & set(arguments):
        print(flags_help())
        return 0
    try:
        return serve_flags(arguments)
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr, flush=True)
        return _FAILURE_EXIT_CODE


def serve_flags(arguments: Sequence[str]) -> int:
    """Serves as a command line says, until a signal; returns the exit code.

    Raises:
        ServingError: a flag or a file that it names is wrong, or the server cannot start.
    """
    flags = parse_flags(arguments)
    if flags["version"]:
        print(_versions())
        return 0
    # Imported only now: a wrong flag is told at once.
    if flags["num_workers"] > 1:
        from expman.serving.workers import run_workers

        return run_workers(arguments, flags)
    if flags["is_worker"]:
        from expman.serving.workers import end_with_standard_input

        end_with_standard_input()
    supervisor_id = os.getppid()
    from expman.serving.embedded_process import run_embedded_server
    from expman.serving.observers.metrics_folder import remove_inherited_metrics_folder
    from expman.serving.server_setup import server_options

    exit_code = run_embedded_server(server_options(flags))
    if flags["is_worker"] and os.getppid() != supervisor_id:
        remove_inherited_metrics_folder()  # Since its owner is gone.
    return exit_code


def _versions() -> str:
    from importlib.metadata import version

    from expman.runtimes.session import tensorflow_version

    return (f"TensorFlow ModelServer: embedded, with the messages of tensorflow-serving-api {version('tensorflow-serving-api')}\n"
            f"TensorFlow Library: {tensorflow_version()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
