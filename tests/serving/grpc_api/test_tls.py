"""TLS and mutual TLS from an ssl_config_file, with certificates made for the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import trustme
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from expman.errors import ServingError
from expman.serving.grpc_api.credentials import server_credentials
from tests.support.serving_models import predict_request, running_server, save_affine_model


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def config_file(authority: trustme.CA, tmp_path: Path) -> Callable[..., Path]:
    """Writes an SSLConfig of a certificate for localhost; arguments replace fields, None leaves one out."""
    certificate = authority.issue_cert("localhost")
    fields = {
        "server_key": _quoted(certificate.private_key_pem.bytes()),
        "server_cert": _quoted(b"".join(blob.bytes() for blob in certificate.cert_chain_pems)),
        "custom_ca": _quoted(authority.cert_pem.bytes()),
    }

    def write(**changes: str | None) -> Path:
        file = tmp_path / "ssl.pbtxt"
        file.write_text("\n".join(f"{name}: {value}" for name, value in (fields | changes).items() if value is not None))
        return file

    return write


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    return folder


def ask(port: int, credentials: grpc.ChannelCredentials | None) -> float:
    target, options = f"localhost:{port}", [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    with (grpc.insecure_channel(target, options=options) if credentials is None
          else grpc.secure_channel(target, credentials, options=options)) as channel:
        return PredictionServiceStub(channel).Predict(predict_request({"x": [[1.0, 2.0]]}), timeout=20).outputs["y"].float_val[1]


def test_client_that_trusts_the_certificate_is_answered_and_others_are_not(
        authority: trustme.CA, config_file: Callable[..., Path], base_path: Path) -> None:
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    with running_server(base_path, ssl_config_file=config_file()) as port:
        assert ask(port, trusting) == 4
        for credentials in (stranger, None):
            with pytest.raises(grpc.RpcError) as caught:
                ask(port, credentials)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_answers_only_clients_with_a_certificate_of_the_authority(
        authority: trustme.CA, config_file: Callable[..., Path], base_path: Path) -> None:
    certificate, stranger = authority.issue_cert("client"), trustme.CA().issue_cert("client")
    known, unknown = (grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())
        for client in (certificate, stranger))
    with running_server(base_path, ssl_config_file=config_file(client_verify="true")) as port:
        assert ask(port, known) == 4
        for credentials in (unknown, grpc.ssl_channel_credentials(authority.cert_pem.bytes())):
            with pytest.raises(grpc.RpcError):
                ask(port, credentials)


@pytest.mark.parametrize(("changes", "message"), [
    ({"server_key": None}, "server_key is missing. Give the PEM text itself, not a path."),
    ({"server_cert": '"/etc/cert.pem"'}, "are not a certificate and its key in PEM"),
    ({"custom_ca": '"no certificate"'}, "custom_ca holds no certificate in PEM"),
    ({"custom_ca": None, "client_verify": "true"}, "client_verify needs custom_ca"),
    ({"server_certificate": '"x"'}, "Error parsing text-format tensorflow.serving.SSLConfig"),
])
def test_wrong_configuration_is_told_before_anything_starts(config_file: Callable[..., Path], changes: dict,
                                                            message: str) -> None:
    with pytest.raises(ServingError) as caught:
        server_credentials(config_file(**changes))
    assert message in str(caught.value)


def _quoted(pem: bytes) -> str:
    return '"' + pem.decode().replace("\n", "\\n") + '"'
