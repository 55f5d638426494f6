"""The server's side of TLS, from the file that TensorFlow Serving takes."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import grpc

from expman.errors import ServingError
from expman.serving.config_files import SSLConfigMessage, read_text_message


def server_credentials(file: str | Path) -> grpc.ServerCredentials:
    """Reads an `SSLConfig`: `server_key`, `server_cert`, `custom_ca` (PEM text, not paths) and `client_verify`.

    Raises:
        ServingError: the file cannot be read, lacks a part, or a part is no valid PEM.
    """
    config = read_text_message(file, SSLConfigMessage, described_as="tensorflow.serving.SSLConfig")
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise ServingError(f"{file}: {field} is missing. Give the PEM text itself, not a path.")
    if config.client_verify and not config.custom_ca:
        raise ServingError(f"{file}: client_verify needs custom_ca, the certificates that the clients' are signed with.")
    _check(file, config)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None, require_client_auth=config.client_verify)


def _check(file: str | Path, config: SSLConfigMessage) -> None:
    """GRPC itself tells of a bad certificate in its log only, or at the first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:  # readable by its owner alone
        chain.write(f"{config.server_cert}\n{config.server_key}\n")
        chain.flush()
        try:
            context.load_cert_chain(chain.name)
        except (ssl.SSLError, ValueError) as error:
            raise ServingError(f"{file}: server_cert and server_key are not a certificate and its key in PEM: {error}"
                               ) from error
    if config.custom_ca:
        try:
            context.load_verify_locations(cadata=config.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise ServingError(f"{file}: custom_ca holds no certificate in PEM: {error}") from error
