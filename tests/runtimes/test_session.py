"""SavedModels are opened with TensorFlow's C library, or, where that cannot be, with its Python package."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from expman.runtimes import session as saved_model_session
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.runtimes.session import SessionOptions
from expman.runtimes.tensorflow_c_session import CApiSession
from tests.support.serving_models import save_affine_model

_X = np.array([[1, 2], [3, 4]], np.float32)


def _run(predictor: SavedModelPredictor, output: str, **inputs: np.ndarray) -> np.ndarray:
    known = predictor.signatures["serving_default"]
    return predictor.run({known.inputs[name].name: value for name, value in inputs.items()}, [known.outputs[output].name])[0]


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
    np.testing.assert_allclose(_run(predictor, "y", x=_X[0]), np.tanh(_X[0]) + 1, rtol=1e-5)
    predictor.close()


def test_gpu_that_is_not_there_is_told(affine_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    predictor = SavedModelPredictor(affine_folder, options=SessionOptions(on_gpu=True, expects_gpu=True))
    assert [record.getMessage() for record in caplog.records] == [
        "serve_on_gpu is set, but TensorFlow finds no GPU here: serving on the CPU"]
    np.testing.assert_allclose(_run(predictor, "y", x=_X), 2 * _X)
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
    assert [record.getMessage() for record in caplog.records if record.name.startswith("expman")] == [
        "TensorFlow's C library cannot be opened (no such file): the server uses TensorFlow's Python package, which takes "
        "longer to start and more memory"]
    for predictor in predictors:
        np.testing.assert_allclose(_run(predictor, "y", x=_X), 2 * _X)
        predictor.close()


@pytest.mark.parametrize(("options", "num_threads", "in_callers_thread"), [
    (SessionOptions(), 0, True),
    (SessionOptions(inter_op_threads=3), 3, False),
    (SessionOptions(inter_op_threads=0), 0, False),
    (SessionOptions(base_config=config_pb2.ConfigProto(inter_op_parallelism_threads=4).SerializeToString()), 4, False),
    (SessionOptions(base_config=config_pb2.ConfigProto(inter_op_parallelism_threads=-1).SerializeToString()), 0, True),
], ids=["default", "three", "a thread a core", "file", "file without threads"])
def test_threads_are_those_asked_for(options: SessionOptions, num_threads: int, in_callers_thread: bool) -> None:
    config = config_pb2.ConfigProto.FromString(options.serialized())
    assert (config.inter_op_parallelism_threads, options.in_callers_thread) == (num_threads, in_callers_thread)


def test_options_become_a_config() -> None:
    base = config_pb2.ConfigProto(intra_op_parallelism_threads=5, log_device_placement=True).SerializeToString()
    config = config_pb2.ConfigProto.FromString(SessionOptions(
        on_gpu=True, gpu_memory_fraction=0.5, uses_xla=True, base_config=base).serialized())
    assert config.intra_op_parallelism_threads == 5 and config.log_device_placement and config.allow_soft_placement
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.5
    assert config.graph_options.optimizer_options.global_jit_level == config_pb2.OptimizerOptions.ON_1
    assert config_pb2.ConfigProto.FromString(SessionOptions().serialized()).device_count["GPU"] == 0
