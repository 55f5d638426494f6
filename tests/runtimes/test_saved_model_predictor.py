"""SavedModels of each kind are loaded and answer as TensorFlow does, whatever executes them; faulty ones are refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from expman.errors import ServingError
from expman.export.publisher import publish
from expman.export.served_model import ServedModel
from expman.runtimes import session as saved_model_session
from expman.runtimes.predictor import served_signatures
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.runtimes.session import SessionOptions
from expman.runtimes.tensorflow_c_session import CApiSession
from expman.runtimes.tensorflow_v1_session import V1Session
from expman.wire.status import Code, StatusError
from tests.support.serving_models import save_affine_model, save_slow_model, save_text_model

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


def _run(predictor: SavedModelPredictor, signature_name: str = "serving_default", *, timeout_seconds: float | None = None,
         **inputs: object) -> dict[str, np.ndarray]:
    """Runs a signature by the names of its inputs and outputs."""
    known = predictor.signatures[signature_name]
    values = predictor.run({known.inputs[name].name: np.asarray(value) for name, value in inputs.items()},
                           [output.name for output in known.outputs.values()], timeout_seconds=timeout_seconds)
    return dict(zip(known.outputs, values))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, session_type: type) -> SavedModelPredictor:
    return SavedModelPredictor(save_text_model(tmp_path_factory.mktemp("text") / "1"))


def test_signatures_are_those_of_the_export_and_answer(affine: SavedModelPredictor) -> None:
    assert set(served_signatures(affine.signatures)) == {"serving_default", "with_shift", "inverse"}
    signature = affine.signatures["with_shift"]
    assert set(signature.inputs) == {"x", "shift"}
    assert tf.TensorShape(signature.inputs["x"].tensor_shape).as_list() == [None, 2]
    np.testing.assert_allclose(_run(affine, x=_X)["z"], -2 * _X)
    np.testing.assert_allclose(_run(affine, "with_shift", x=_X, shift=np.float32(5))["y"], 2 * _X + 5)


def test_empty_batch_is_answered(affine: SavedModelPredictor) -> None:
    assert _run(affine, x=_X[:0])["y"].shape == (0, 2)


def test_strings_keep_their_bytes(text: SavedModelPredictor) -> None:
    outputs = _run(text, text=np.array([b"ab", b"c\0"], dtype=object))
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
    y = _run(predictor, x=x)["y"]
    predictor.close()
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(y, x)


def test_answer_stays_as_it_was_when_the_model_changes_its_variable(tmp_path: Path, session_type: type) -> None:
    class Counter(tf.Module):
        def __init__(self) -> None:
            self.count = tf.Variable(tf.zeros([10_000]))

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "step")])
        def add(self, step: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"count": self.count.assign_add(tf.fill([10_000], step)).read_value()}

    counter = Counter()
    tf.saved_model.save(counter, str(tmp_path / "1"), signatures=counter.add)
    predictor = SavedModelPredictor(tmp_path / "1")
    counts = [_run(predictor, step=np.float32(1))["count"] for _ in range(3)]
    predictor.close()
    assert [set(count.tolist()) for count in counts] == [{1}, {2}, {3}]


def test_lookup_tables_of_an_export_are_filled(tmp_path: Path, session_type: type) -> None:
    lookup = keras.layers.StringLookup(vocabulary=["cat", "dog"])
    served = ServedModel(answer=lambda inputs: {"index": lookup(inputs["word"])},
                         inputs_spec={"word": tf.TensorSpec([None], tf.string)}, resources=[lookup])
    words = np.array([b"dog", b"cow", b"cat"], dtype=object)
    predictor = SavedModelPredictor(publish(served, base_path=tmp_path, sample={"word": words}, keep_versions=1))
    assert _run(predictor, word=words)["index"].tolist() == [2, 0, 1]
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
    actual = [_run(predictor, x=x)["y"] for _ in range(3)]
    predictor.close()
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert not np.array_equal(actual[0], actual[1])


def _save_with_tensorflow_1(folder: Path, slope: Callable[[], tf.Tensor | float]) -> Path:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        y = slope() * x
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map={
            "serving_default": tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": y})})
        builder.save()
    return folder


@pytest.mark.parametrize("slope", [
    lambda: 3.0,
    lambda: tf.compat.v1.get_variable("slope", initializer=3.0, use_resource=False),
    lambda: tf.compat.v1.get_variable("slope", initializer=3.0, use_resource=True),
], ids=["without variables", "reference variable", "resource variable"])
def test_model_of_tensorflow_1_is_served(tmp_path: Path, session_type: type, slope: Callable) -> None:
    folder = _save_with_tensorflow_1(tmp_path / "1", slope)
    predictor = SavedModelPredictor(folder)
    assert _run(predictor, x=np.ones(2, np.float32))["y"].tolist() == [3, 3]
    predictor.close()


def test_model_without_variables_is_served(tmp_path: Path, session_type: type) -> None:
    double = tf.function(lambda x: {"y": 2 * x}).get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"), signatures=double)
    predictor = SavedModelPredictor(tmp_path / "1")
    assert _run(predictor, x=np.ones(2, np.float32))["y"].tolist() == [2, 2]
    predictor.close()


def _save_model_with_asset(folder: Path, vocabulary: Path) -> Path:
    class Lookup(tf.Module):
        def __init__(self) -> None:
            self.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
                str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER), default_value=-1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
        def find(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"line": self.table.lookup(word)}

    vocabulary.write_text("cat\ndog\n")
    lookup = Lookup()
    tf.saved_model.save(lookup, str(folder), signatures=lookup.find)
    vocabulary.unlink()  # From here on, the model has only its own copy.
    return folder


def test_asset_is_read_from_the_version_folder_wherever_it_is(tmp_path: Path, session_type: type) -> None:
    folder = _save_model_with_asset(tmp_path / "exported", tmp_path / "words.txt").rename(tmp_path / "1")
    predictor = SavedModelPredictor(folder)
    assert _run(predictor, word=np.array([b"dog", b"cow", b"cat"], dtype=object))["line"].tolist() == [1, -1, 0]
    predictor.close()


def test_missing_asset_is_named(tmp_path: Path, session_type: type) -> None:
    folder = _save_model_with_asset(tmp_path / "1", tmp_path / "words.txt")
    (folder / "assets" / "words.txt").unlink()
    with pytest.raises(StatusError, match="words.txt"):
        SavedModelPredictor(folder)


def test_network_exported_by_keras_is_served(tmp_path: Path, session_type: type) -> None:
    network = keras.Sequential([keras.Input([2]), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    network.export(str(tmp_path / "1"), verbose=False)
    predictor = SavedModelPredictor(tmp_path / "1")
    name = next(iter(predictor.signatures["serving_default"].inputs))
    answer, = _run(predictor, **{name: _X}).values()
    predictor.close()
    np.testing.assert_allclose(answer, network(_X), rtol=1e-5)


def test_network_whose_variables_nothing_restores_is_refused_with_the_remedy(tmp_path: Path, session_type: type) -> None:
    network = keras.Sequential([keras.Input([2]), keras.layers.Dense(3, name="first")])
    tf.saved_model.save(network, str(tmp_path / "1"))
    with pytest.raises(ServingError, match="'serving_default' reads variables .*first/bias, .*first/kernel.*`export`"):
        SavedModelPredictor(tmp_path / "1")


@pytest.mark.parametrize(("signature", "inputs", "words"), [
    ("inverse", {"matrix": np.zeros((2, 3), np.float32)}, "Input.* must be square"),
    ("serving_default", {"x": _X.astype(np.float64)}, r"Expects arg\[0\] to be float but double is provided"),
], ids=["refused by the kernel", "wrong type"])
def test_values_that_the_model_refuses_are_invalid(
        affine: SavedModelPredictor, signature: str, inputs: dict, words: str) -> None:
    with pytest.raises(StatusError, match=words) as caught:
        _run(affine, signature, **inputs)
    assert caught.value.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["nothing:0", "StatefulPartitionedCall:99", "no tensor at all"])
def test_tensor_that_the_graph_lacks_is_named(affine: SavedModelPredictor, name: str) -> None:
    with pytest.raises(StatusError, match=f"no tensor '{name}'") as caught:
        affine.run({}, [name])
    assert caught.value.code == Code.NOT_FOUND


def test_threads_run_one_model_at_the_same_time(affine: SavedModelPredictor) -> None:
    wrong = []

    def ask(number: int) -> None:
        x = np.full((3, 2), number, np.float32)
        wrong.extend(index for index in range(100) if not np.array_equal(_run(affine, x=x, timeout_seconds=60)["y"], 2 * x))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("inter_op_threads", [-1, 0, 2], ids=["threads of requests", "a thread a core", "two threads"])
def test_run_ends_with_its_time_and_the_next_one_is_answered(
        tmp_path: Path, session_type: type, inter_op_threads: int) -> None:
    predictor = SavedModelPredictor(save_slow_model(tmp_path / "1"), options=SessionOptions(inter_op_threads=inter_op_threads))
    started = str(tmp_path / "started").encode()
    with pytest.raises(StatusError) as caught:
        _run(predictor, timeout_seconds=0.3, seconds=3600.0, started=np.array(started, dtype=object))
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    assert (tmp_path / "started").exists()
    assert _run(predictor, timeout_seconds=60, seconds=0.0, started=np.array(started, dtype=object))["count"] >= 0
    predictor.close()


@pytest.mark.parametrize("timeout_seconds", [0, -1])
def test_time_that_was_over_before_is_told(affine: SavedModelPredictor, timeout_seconds: float) -> None:
    with pytest.raises(StatusError) as caught:
        _run(affine, timeout_seconds=timeout_seconds, x=_X)
    assert caught.value.code == Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout_seconds", [1e12, float("inf")])
def test_time_without_end_is_as_good_as_none(affine: SavedModelPredictor, timeout_seconds: float) -> None:
    np.testing.assert_allclose(_run(affine, timeout_seconds=timeout_seconds, x=_X)["y"], 2 * _X)


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
    with pytest.raises((ServingError, StatusError), match="variables"):
        SavedModelPredictor(folder)
