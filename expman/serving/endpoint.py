"""Addresses and ports: how they are written for gRPC, and whether a server can listen there."""

from __future__ import annotations

import errno
import socket

from expman.errors import ServingError


def endpoint(address: str, port: int) -> str:
    """`address:port`, with the brackets that an IPv6 address needs."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def available_port(address: str, port: int) -> int:
    """Checks that a server can listen on a port, and returns it; for port 0, a free one of the system's choice.

    Raises:
        ServingError: the port is in use, out of range or not allowed, or the address is none of this machine.
    """
    if not 0 <= port <= 65535:
        raise ServingError(f"port must be an int between 0 and 65535. Got {port}.")
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without this, the leftovers of connections to a server that has just ended look like a server.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(socket_address)
            # Binding alone succeeds on a port that another process has bound with the same option.
            probe.listen(1)
            return probe.getsockname()[1]
    except OSError as error:
        raise ServingError(_cannot_listen(address, port, error)) from error


def _cannot_listen(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (f"port {port} on {address} is already in use: another server runs there. "
                "Stop it, or give another `--port`.")
    if error.errno == errno.EACCES:
        return f"port {port} on {address} is reserved for the system's administrator. Give a `--port` above 1023."
    return (f"cannot listen on address '{address}' ({error.strerror}). "
            "Give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them.")
