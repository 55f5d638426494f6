"""Ends with exit code 0 when the server in the same container is ready for requests: python healthcheck.py [REST_PORT]."""

from __future__ import annotations

import http.client
import sys

_TIMEOUT_SECONDS = 4.0


def is_ready(rest_port: int) -> bool:
    """Whether the server on this machine's port says so."""
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/v1/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(sys.argv[1]) if len(sys.argv) > 1 else 8501) else 1)
