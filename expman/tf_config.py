"""Prints the TF_CONFIG of one worker, for schedulers that tell a process its number and all hosts.

export TF_CONFIG=$(python -m expman.tf_config --hosts node1,node2 --index 0)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

DEFAULT_PORT = 23456


def tf_config(hosts: Sequence[str], *, index: int, port: int = DEFAULT_PORT) -> str:
    """The JSON text that TensorFlow reads from TF_CONFIG.

    Arguments:
        hosts: the names or addresses of all workers, in the same order for each; one that ends with `:port` keeps its port.
        index: the number of this worker, from 0; worker 0 is the chief.
        port: on which the workers listen; with several workers on a host give each its own port.

    Raises:
        ValueError: there is no worker of this number.
    """
    if not 0 <= index < len(hosts):
        raise ValueError(f"--index must be from 0 to {len(hosts) - 1}, since there are {len(hosts)} hosts. Got {index}.")
    addresses = [host if ":" in host else f"{host}:{port}" for host in hosts]
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints TF_CONFIG; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m expman.tf_config", description="Prints the TF_CONFIG of one worker.")
    parser.add_argument("--hosts", required=True, help="names of all workers, separated by commas; each may end with :port")
    parser.add_argument("--index", required=True, type=int, help="number of this worker, from 0")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(tf_config(options.hosts.split(","), index=options.index, port=options.port) + "\n")
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
