"""Requests to SavedModels share runs, and no answer reaches another request than its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.wire.status import Code, StatusError
from tests.support.batching_models import FOREVER_MICROS
from tests.support.serving_models import save_affine_model, save_text_model


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def _tensor_names(predictor: BatchedPredictor, signature: str = "serving_default") -> tuple[str, dict[str, str]]:
    known = predictor.signatures[signature]
    return next(iter(known.inputs.values())).name, {alias: tensor.name for alias, tensor in known.outputs.items()}


@pytest.mark.parametrize("parameters", [
    BatchingParameters(),
    BatchingParameters(max_batch_size=16, batch_timeout_micros=500, num_batch_threads=1, max_enqueued_batches=100),
    BatchingParameters(max_batch_size=16, allowed_batch_sizes=(4, 8, 16), batch_timeout_micros=200, num_batch_threads=4),
    BatchingParameters(max_batch_size=16, enable_large_batch_splitting=True, max_execution_batch_size=5,
                       batch_timeout_micros=200, num_batch_threads=2, max_enqueued_batches=100),
], ids=["default", "one thread", "allowed sizes", "splitting"])
def test_answers_of_two_models_are_never_mixed_under_load(
        tmp_path: Path, threads: ThreadPoolExecutor, parameters: BatchingParameters) -> None:
    with ExitStack() as undo:
        predictors = []
        for slope in (2.0, 3.0):
            model = SavedModelPredictor(save_affine_model(tmp_path / str(slope), slope=slope))
            predictor = BatchedPredictor(model, parameters)
            undo.callback(predictor.close)
            predictors.append((predictor, slope, *_tensor_names(predictor)))

        def ask(number: int) -> int:
            generator = np.random.default_rng(number)
            for _ in range(150):
                predictor, slope, x_name, outputs = predictors[generator.integers(2)]
                x = generator.normal(size=(generator.integers(1, 17), 2)).astype(np.float32)
                alias = ("y", "z")[generator.integers(2)]
                y, = predictor.run({x_name: x}, [outputs[alias]], timeout_seconds=60)
                np.testing.assert_allclose(y, slope * x * (1 if alias == "y" else -1), rtol=1e-6)
            return number

        assert list(threads.map(ask, range(16))) == list(range(16))


def test_strings_are_joined_and_filled_up(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    predictor = BatchedPredictor(SavedModelPredictor(save_text_model(tmp_path / "1")), BatchingParameters(
        max_batch_size=4, allowed_batch_sizes=(4,), batch_timeout_micros=50_000))
    text, outputs = _tensor_names(predictor)

    def ask(word: bytes) -> list:
        array = np.array([word], dtype=object)
        return [value.tolist() for value in predictor.run({text: array}, [outputs["upper"], outputs["length"]])]

    assert list(threads.map(ask, [b"a", b"bc\0", b"def"])) == [[[b"A"], [1]], [[b"BC\0"], [3]], [[b"DEF"], [3]]]
    predictor.close()


def test_values_that_the_model_refuses_fail_alone(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    class Root(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def root(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.control_dependencies([tf.debugging.assert_non_negative(x, message="no root")]):
                return {"y": tf.sqrt(x)}

    root = Root()
    tf.saved_model.save(root, str(tmp_path / "1"), signatures=root.root)
    predictor = BatchedPredictor(SavedModelPredictor(tmp_path / "1"), BatchingParameters(
        max_batch_size=4, batch_timeout_micros=FOREVER_MICROS))
    x, outputs = _tensor_names(predictor)
    futures = [threads.submit(predictor.run, {x: np.array([value], np.float32)}, [outputs["y"]]) for value in (4, 9, -1, 16)]
    assert [futures[index].result()[0].item() for index in (0, 1, 3)] == [2, 3, 4]
    with pytest.raises(StatusError, match="no root") as caught:
        futures[2].result()
    assert caught.value.code == Code.INVALID_ARGUMENT
    predictor.close()
