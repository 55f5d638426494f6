"""A model is called quick only when its runs were, and when the values of its inputs cannot change that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.runtimes.session import SessionOptions
from expman.runtimes.session_runs import is_foreseeable
from expman.wire.protos import saved_model_pb2
from tests.support.serving_models import save_affine_model, save_slow_model, save_text_model

_MANY_RUNS = 80


def foreseeable(folder: Path) -> bool:
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return is_foreseeable(saved_model.meta_graphs[0])


def run_many_times(predictor: SavedModelPredictor, signature_name: str, value: np.ndarray) -> tuple[dict, list[str]]:
    """Returns what was run."""
    signature = predictor.signatures[signature_name]
    (info,), outputs = signature.inputs.values(), [info.name for info in signature.outputs.values()]
    for _ in range(_MANY_RUNS):
        predictor.run({info.name: value}, outputs)
    return {info.name: value}, outputs


def test_time_of_a_loop_and_of_a_call_into_python_cannot_be_foreseen(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def mapped(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.map_fn(lambda element: element + 1, x)}

    module = tf.Module()
    module.mapped = mapped
    tf.saved_model.save(module, str(tmp_path / "mapped"), signatures=mapped)
    assert not foreseeable(tmp_path / "mapped")
    assert not foreseeable(save_slow_model(tmp_path / "slow"))


def test_time_of_other_models_can_be_foreseen(tmp_path: Path) -> None:
    assert foreseeable(save_affine_model(tmp_path / "affine"))
    assert foreseeable(save_text_model(tmp_path / "text"))


def test_model_is_quick_after_many_quick_runs_and_for_inputs_of_their_size_only(tmp_path: Path) -> None:
    predictor = SavedModelPredictor(save_affine_model(tmp_path / "affine"))
    small, large = np.ones([1, 2], np.float32), np.ones([1000, 2], np.float32)
    name = predictor.signatures["serving_default"].inputs["x"].name
    fetches = [info.name for info in predictor.signatures["serving_default"].outputs.values()]
    assert not predictor.is_quick({name: small}, fetches)
    for _ in range(100):  # A busy machine may take some more.
        run_many_times(predictor, "serving_default", small)
        if is_quick := predictor.is_quick({name: small}, fetches):
            break
    assert is_quick
    assert not predictor.is_quick({name: large}, fetches)
    predictor.close()


def test_model_whose_runs_take_long_is_not_quick(tmp_path: Path) -> None:
    predictor = SavedModelPredictor(save_affine_model(tmp_path / "affine"))
    generator = np.random.default_rng(0)
    feeds, fetches = run_many_times(predictor, "inverse", generator.uniform(size=[300, 300]).astype(np.float32))
    assert not predictor.is_quick(feeds, fetches)
    predictor.close()


def test_session_whose_threads_are_asked_for_is_left_to_them(tmp_path: Path) -> None:
    predictor = SavedModelPredictor(save_affine_model(tmp_path / "affine"), options=SessionOptions(inter_op_threads=2))
    assert not predictor.is_quick(*run_many_times(predictor, "serving_default", np.ones([1, 2], np.float32)))
    predictor.close()
