"""Paths of the API are read as TensorFlow Serving reads them."""

from __future__ import annotations

import pytest

from expman.serving.rest_api.paths import ModelPath, parse_model_path
from expman.wire.protos import model_pb2
from expman.wire.status import Code, StatusError


@pytest.mark.parametrize(("method", "path", "expected"), [
    ("POST", "/v1/models/m:predict", ModelPath("predict", "m")),
    ("POST", "/v1/models/m/versions/7:classify", ModelPath("classify", "m", version=7)),
    ("POST", "/v1/models/m/labels/stable:regress", ModelPath("regress", "m", label="stable")),
    ("GET", "/v1/models/m", ModelPath("status", "m")),
    ("GET", "/v1/models/m/versions/0012", ModelPath("status", "m", version=12)),
    ("GET", "/v1/models/m/labels/canary/metadata", ModelPath("metadata", "m", label="canary")),
    ("GET", "/v1/models/m/ready", ModelPath("ready", "m")),
    ("GET", "/V1/Models/M", ModelPath("status", "M")),
    ("POST", "/v1/models/a%21%2Fb%3A%3F+c:predict", ModelPath("predict", "a!/b:?+c")),
    ("GET", "/v1/models/m/labels/%C3%A9%40", ModelPath("status", "m", label="é@")),
    ("GET", "/v1/models/m?x=1", ModelPath("status", "m?x=1")),
    ("GET", "/v1/models/%FF\udcff", ModelPath("status", "\ufffd?")),
    ("GET", f"/v1/models/m/versions/{2**63 - 1}", ModelPath("status", "m", version=2**63 - 1)),
])
def test_path_names_model_version_and_action(method: str, path: str, expected: ModelPath) -> None:
    assert parse_model_path(method, path) == expected


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/foo"), ("POST", "/v1/foo"), ("POST", "/v1/models"), ("GET", "/v1/models/foo:predict"), ("GET", "/v1/models/"),
    ("GET", "/v1/models/foo/version/50:predict"), ("POST", "/v1/models/foo/version/50:regress"),
    ("POST", "/v1/models/foo/versions/HELLO:regress"), ("POST", "/v1/models/foo/metadata"), ("POST", "/v1/models/foo"),
    ("POST", "/v1/models/foo/versions/50/labels/x:regress"), ("POST", "/v1/models/foo:predict?x=1"),
    ("POST", "/v1/models/foo:PREDICT"), ("POST", "/v1/models/foo:explain"), ("PUT", "/v1/models/foo:predict"),
    ("HEAD", "/v1/models/foo"), ("DELETE", "/v1/models/foo"), ("POST", "/v1/models/foo/bar:predict"),
    ("GET", "/v1/models/m/x"), ("POST", "/v1/models/foo/versions/٣:predict"), ("POST", "/v1/models/:predict")])
def test_other_paths_are_malformed(method: str, path: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_model_path(method, path)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, f"Malformed request: {method} {path}")


@pytest.mark.parametrize("digits", [str(2**63), str(2**64 - 1), "1" + "0" * 5000], ids=len)
def test_version_beyond_64_bits_is_told(digits: str) -> None:
    with pytest.raises(StatusError, match=f"Failed to convert version: {digits} to numeric."):
        parse_model_path("POST", f"/v1/models/foo/versions/{digits}:predict")


def test_model_must_be_named() -> None:
    with pytest.raises(StatusError, match="Missing model name in request."):
        parse_model_path("GET", "/v1/models")


@pytest.mark.parametrize(("path", "text"), [
    (ModelPath("predict", "m"), 'name: "m"'), (ModelPath("predict", "m", version=0), 'name: "m" version { }'),
    (ModelPath("predict", "m", label="a"), 'name: "m" version_label: "a"')])
def test_path_fills_the_spec_of_a_request(path: ModelPath, text: str) -> None:
    spec = model_pb2.ModelSpec()
    path.fill(spec)
    assert " ".join(str(spec).split()) == text
