"""SavedModels are opened with TensorFlow's C library, or, where that cannot be, with its Python package."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving_models import save_affine_model

from expman.serving import saved_model_session
from expman.serving.predictor import SavedModelPredictor
from expman.serving.tensorflow_c_api import CApiSession

_X = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture(scope="module")
def affine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_affine_model(tmp_path_factory.mktemp("affine") / "1")


def test_the_c_library_is_what_runs_models_here() -> None:
    assert saved_model_session.session_type() is CApiSession


def test_compiled_function_is_served(tmp_path: Path) -> None:
    module = tf.Module()
    compiled = tf.function(lambda x: {"y": tf.tanh(x) + 1}, jit_compile=True)
    tf.saved_model.save(module, str(tmp_path / "1"),
                        signatures=compiled.get_concrete_function(tf.TensorSpec([None], tf.float32, "x")))
    predictor = SavedModelPredictor(tmp_path / "1")
    np.testing.assert_allclose(predictor.predict(signature_name="", inputs={"x": _X[0]})["y"], np.tanh(_X[0]) + 1, rtol=1e-5)
    predictor.close()


def test_gpu_that_is_not_there_is_told(affine_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    predictor = SavedModelPredictor(affine_folder, on_gpu=True)
    assert [record.getMessage() for record in caplog.records] == [
        "serve_on_gpu is set, but TensorFlow finds no GPU here: serving on the CPU"]
    np.testing.assert_allclose(predictor.predict(signature_name="", inputs={"x": _X})["y"], 2 * _X)
    predictor.close()


def test_library_that_cannot_be_opened_is_told_once_and_replaced(
        affine_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_library() -> None:
        raise OSError("no such file")

    monkeypatch.setattr(saved_model_session, "tensorflow_library", no_library)
    saved_model_session.session_type.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            predictors = [SavedModelPredictor(affine_folder) for _ in range(2)]
    finally:
        saved_model_session.session_type.cache_clear()
    assert [record.getMessage() for record in caplog.records] == [
        "TensorFlow's C library cannot be opened (no such file): the server uses TensorFlow's Python package, which takes "
        "longer to start and more memory"]
    for predictor in predictors:
        np.testing.assert_allclose(predictor.predict(signature_name="", inputs={"x": _X})["y"], 2 * _X)
        predictor.close()
