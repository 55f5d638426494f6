"""One SavedModel answers its signatures, and names what is wrong with inputs that do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from serving_models import save_affine_model, save_text_model

from expman.errors import ServingError
from expman.export.publisher import publish
from expman.export.served_model import ServedModel
from expman.serving import saved_model_session
from expman.serving.faults import InvalidRequestError, NotFoundError
from expman.serving.predictor import SavedModelPredictor
from expman.serving.tensorflow_c_api import CApiSession
from expman.serving.tensorflow_error import TensorFlowError
from expman.serving.tensorflow_v1_session import V1Session

_X = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture(scope="module", params=[CApiSession, V1Session], ids=["C library", "Python package"])
def session_type(request: pytest.FixtureRequest) -> Iterator[type]:
    """What executes the models, which makes no difference to the answers."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(saved_model_session, "session_type", lambda: request.param)
        yield request.param


@pytest.fixture(scope="module")
def affine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_affine_model(tmp_path_factory.mktemp("affine") / "1")


@pytest.fixture(scope="module")
def affine(affine_folder: Path, session_type: type) -> SavedModelPredictor:
    return SavedModelPredictor(affine_folder)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, session_type: type) -> SavedModelPredictor:
    return SavedModelPredictor(save_text_model(tmp_path_factory.mktemp("text") / "1"))


def test_empty_signature_name_means_serving_default(affine: SavedModelPredictor) -> None:
    outputs = affine.predict(signature_name="", inputs={"x": _X})
    assert set(outputs) == {"y", "z"}
    np.testing.assert_allclose(outputs["y"], 2 * _X)
    np.testing.assert_allclose(outputs["z"], -2 * _X)


def test_named_signature_takes_its_own_inputs(affine: SavedModelPredictor) -> None:
    outputs = affine.predict(signature_name="with_shift", inputs={"x": _X, "shift": np.array(5, np.float32)})
    np.testing.assert_allclose(outputs["y"], 2 * _X + 5)


def test_output_filter_restricts_the_answer(affine: SavedModelPredictor) -> None:
    assert set(affine.predict(signature_name="", inputs={"x": _X}, output_filter=["z"])) == {"z"}


def test_empty_batch_is_answered(affine: SavedModelPredictor) -> None:
    assert affine.predict(signature_name="", inputs={"x": _X[:0]})["y"].shape == (0, 2)


def test_strings_keep_their_bytes(text: SavedModelPredictor) -> None:
    outputs = text.predict(signature_name="", inputs={"text": np.array([b"ab", b"c\0"], dtype=object)})
    assert outputs["upper"].tolist() == [b"AB", b"C\0"]
    assert outputs["joined"].shape == () and outputs["joined"].item() == b"abc\0"
    assert outputs["length"].tolist() == [2, 2]


@pytest.mark.parametrize("shape", [(), (3,), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.int8, np.int64, np.uint16, np.bool_,
                                   np.complex64], ids=lambda dtype: np.dtype(dtype).name)
def test_each_type_and_shape_goes_through(
        tmp_path: Path, session_type: type, dtype: type, shape: tuple[int, ...]) -> None:
    module = tf.Module()
    same = tf.function(lambda x: {"y": tf.identity(x)}).get_concrete_function(tf.TensorSpec(None, dtype, "x"))
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=same)
    predictor = SavedModelPredictor(tmp_path / "1")
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    y = predictor.predict(signature_name="", inputs={"x": x})["y"]
    predictor.close()
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(y, x)


def test_lookup_tables_of_an_export_are_filled(tmp_path: Path, session_type: type) -> None:
    lookup = keras.layers.StringLookup(vocabulary=["cat", "dog"])
    served = ServedModel(answer=lambda inputs: {"index": lookup(inputs["word"])},
                         inputs_spec={"word": tf.TensorSpec([None], tf.string)}, resources=[lookup])
    words = np.array([b"dog", b"cow", b"cat"], dtype=object)
    predictor = SavedModelPredictor(publish(served, base_path=tmp_path, sample={"word": words}, keep_versions=1))
    assert predictor.predict(signature_name="", inputs={"word": words})["index"].tolist() == [2, 0, 1]
    predictor.close()


def test_random_numbers_of_an_export_go_on_from_request_to_request(tmp_path: Path, session_type: type) -> None:
    seeds = keras.random.SeedGenerator(5)
    served = ServedModel(answer=lambda inputs: {"y": inputs["x"] + keras.random.normal([3], seed=seeds)},
                         inputs_spec={"x": tf.TensorSpec([3], tf.float32)})
    x = np.zeros(3, np.float32)
    folder = publish(served, base_path=tmp_path, sample={"x": x}, keep_versions=1)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = [signature(x=tf.constant(x))["y"].numpy() for _ in range(3)]
    predictor = SavedModelPredictor(folder)
    actual = [predictor.predict(signature_name="", inputs={"x": x})["y"] for _ in range(3)]
    predictor.close()
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert not np.array_equal(actual[0], actual[1])


def test_signatures_are_those_that_the_export_describes(affine: SavedModelPredictor) -> None:
    signature = affine.signatures["with_shift"]
    assert set(signature.inputs) == {"x", "shift"}
    assert tf.TensorShape(signature.inputs["x"].tensor_shape).as_list() == [None, 2]


def test_unknown_signature_is_not_found(affine: SavedModelPredictor) -> None:
    with pytest.raises(NotFoundError, match='"wrong" not found.*inverse.*serving_default.*with_shift'):
        affine.predict(signature_name="wrong", inputs={"x": _X})


def test_initialisation_of_the_model_cannot_be_asked_for(affine: SavedModelPredictor) -> None:
    with pytest.raises(NotFoundError):
        affine.predict(signature_name="__saved_model_init_op", inputs={})


@pytest.mark.parametrize(("inputs", "words"), [
    ({}, ["missing input 'x'"]),
    ({"x": _X, "w": _X}, ["unknown input 'w'", "has the inputs 'x'"]),
    ({"w": _X}, ["missing input 'x'", "unknown input 'w'"]),
    ({"x": _X.astype(np.float64)}, ["'x'", "float32", "Got float64"]),
    ({"x": np.array([[b"1", b"2"]], dtype=object)}, ["'x'", "float32", "Got string"]),
    ({"x": np.zeros((2, 3), np.float32)}, ["'x'", "(None, 2)", "Got (2, 3)"]),
    ({"x": np.zeros(2, np.float32)}, ["'x'", "(None, 2)", "Got (2,)"]),
], ids=["missing", "unknown", "missing and unknown", "wrong dtype", "string for number", "wrong size", "wrong rank"])
def test_input_that_does_not_fit_is_invalid(affine: SavedModelPredictor, inputs: dict, words: list[str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        affine.predict(signature_name="", inputs=inputs)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unknown_output_in_the_filter_is_invalid(affine: SavedModelPredictor) -> None:
    with pytest.raises(InvalidRequestError, match="unknown output 'q'.*outputs 'y', 'z'"):
        affine.predict(signature_name="", inputs={"x": _X}, output_filter=["q"])


def test_values_that_the_model_refuses_are_invalid(affine: SavedModelPredictor) -> None:
    with pytest.raises(InvalidRequestError, match=r"\AInput.* must be square"):
        affine.predict(signature_name="inverse", inputs={"matrix": np.zeros((2, 3), np.float32)})


def test_truncated_model_file_is_named(affine_folder: Path, tmp_path: Path, session_type: type) -> None:
    folder = shutil.copytree(affine_folder, tmp_path / "1")
    (folder / "saved_model.pb").write_bytes((affine_folder / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(ServingError, match="saved_model.pb is not a SavedModel, or was cut short"):
        SavedModelPredictor(folder)


def test_model_without_signature_cannot_be_served(tmp_path: Path, session_type: type) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ServingError, match="no signature to serve"):
        SavedModelPredictor(tmp_path / "1")


@pytest.mark.parametrize("missing_file", ["variables.index", "variables.data-00000-of-00001"])
def test_model_whose_variables_are_missing_cannot_be_loaded(
        affine_folder: Path, tmp_path: Path, session_type: type, missing_file: str) -> None:
    folder = shutil.copytree(affine_folder, tmp_path / "1")
    (folder / "variables" / missing_file).unlink()
    with pytest.raises((ServingError, TensorFlowError), match="variables"):
        SavedModelPredictor(folder)
