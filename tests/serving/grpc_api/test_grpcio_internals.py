"""A version of grpcio without one of the private names that are used is recognised, and the server answers without them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.grpc_api import grpc_server, grpcio_internals
from expman.serving.grpc_api.grpc_server import GrpcOptions, GrpcServer
from expman.serving.inference.inference import Inference
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore
from tests.support.serving_models import OfficialClient, save_affine_model

_X = np.array([[1, 2]], np.float32)
_MODULE_NAMES = [(module, path) for module, paths in grpcio_internals.NAMES.items() for path in paths]


class Lacking:
    """Stands for a module or an object of another version, which lacks one name; whoever holds the original keeps it."""

    def __init__(self, thing: Any, path: str) -> None:
        self._thing, self._path = thing, path

    def __getattr__(self, name: str) -> Any:
        head, _, rest = self._path.partition(".")
        if name != head:
            return getattr(self._thing, name)
        if not rest:
            raise AttributeError(name)
        return Lacking(getattr(self._thing, name), rest)


@pytest.fixture(scope="module")
def inference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inference]:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    store = ModelStore(load=lambda version_folder, config: SavedModelPredictor(version_folder))
    store.start([ModelConfig("m", folder)])
    yield Inference(store)
    store.close()


@pytest.fixture
def checked_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the names checked as at an import, after the test has taken one away with `monkeypatch`, and once it is back."""
    yield
    monkeypatch.undo()
    importlib.reload(grpcio_internals)


def answers(inference: Inference) -> bool:
    server = GrpcServer(inference, GrpcOptions(address="127.0.0.1", port=0))
    with OfficialClient(server.start()) as client:
        try:
            answer = client.predict({"x": _X})
            with pytest.raises(grpc.RpcError) as caught:
                client.predict({"x": _X}, name="other")
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        finally:
            server.drain()
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), 2 * _X)
    return True


def forbid_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("names were used although one is missing")

    monkeypatch.setattr(grpc_server, "EventMethods", refuse)


def test_required_version_of_grpcio_has_all_names() -> None:
    server = grpc.server(None)
    assert grpcio_internals.missing_names(server) == []
    server.stop(None)


@pytest.mark.parametrize(("module", "path"), _MODULE_NAMES, ids=lambda part: part)
def test_without_a_name_of_a_module_it_is_told_and_requests_are_answered(
        checked_again: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inference: Inference,
        module: str, path: str) -> None:
    monkeypatch.setitem(sys.modules, module, Lacking(importlib.import_module(module), path))
    importlib.reload(grpcio_internals)
    forbid_events(monkeypatch)
    assert answers(inference)
    assert f"grpcio {grpc.__version__} lacks {module}.{path}: " in caplog.text


@pytest.mark.parametrize("module", grpcio_internals.NAMES)
def test_without_a_module_all_its_names_are_told_and_requests_are_answered(
        checked_again: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inference: Inference,
        module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    importlib.reload(grpcio_internals)
    forbid_events(monkeypatch)
    assert answers(inference)
    assert all(f"{module}.{path}" in caplog.text for path in grpcio_internals.NAMES[module])


@pytest.mark.parametrize("path", grpcio_internals.SERVER_NAMES)
def test_without_a_name_of_its_servers_it_is_told_and_requests_are_answered(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inference: Inference, path: str) -> None:
    make_server = grpc.server
    monkeypatch.setattr(grpc, "server", lambda *arguments, **named: Lacking(make_server(*arguments, **named), path))
    forbid_events(monkeypatch)
    assert answers(inference)
    assert f"lacks grpc.Server.{path}: " in caplog.text
