"""A session of TensorFlow's C library answers as TensorFlow does, keeps deadlines, and gives back all memory that it takes."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from expman.runtimes import tensorflow_c_session
from expman.runtimes.tensorflow_c_api import checked_status, tensorflow_library
from expman.runtimes.tensorflow_c_session import CApiSession, _session_options
from expman.runtimes.tensorflow_tensors import STRING_BUFFERS, new_tensor, take_array
from expman.wire.status import Code, StatusError
from tests.support.serving_models import save_affine_model, save_slow_model, save_text_model

_X = np.array([[1, 2], [3, 4]], np.float32)
_CPU_CONFIG = config_pb2.ConfigProto(device_count={"GPU": 0}).SerializeToString()
_LARGE_CONFIG = config_pb2.ConfigProto(device_filters=["f" * 20_000]).SerializeToString()
_MEBIBYTE = 2**20
_LONG_STRING = b"far longer than the 22 bytes that a TF_TString holds in itself \0 with a zero byte"


class _Model:
    """A loaded SavedModel that is run by the names of a signature."""

    def __init__(self, folder: Path) -> None:
        self.session = CApiSession(folder, tag="serve", config=_CPU_CONFIG)
        self.signatures = meta_graph_pb2.MetaGraphDef.FromString(self.session.meta_graph).signature_def

    def run(self, signature: str = "serving_default", *, timeout_seconds: float | None = None,
            **inputs: np.ndarray) -> dict[str, np.ndarray]:
        known = self.signatures[signature]
        values = self.session.run({known.inputs[name].name: value for name, value in inputs.items()},
                                  [tensor.name for tensor in known.outputs.values()], timeout_seconds=timeout_seconds)
        return dict(zip(known.outputs, values))


@pytest.fixture(scope="module")
def affine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_affine_model(tmp_path_factory.mktemp("affine") / "1")


@pytest.fixture(scope="module")
def affine(affine_folder: Path) -> _Model:
    return _Model(affine_folder)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> _Model:
    return _Model(save_text_model(tmp_path_factory.mktemp("text") / "1"))


def _array(values: list) -> np.ndarray:
    array = np.empty(np.shape(values), dtype=object)
    array[...] = values
    return array


def test_folder_without_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="Could not find SavedModel") as caught:
        _Model(tmp_path / "nowhere")
    assert caught.value.code == Code.NOT_FOUND


def test_options_that_are_no_config_proto_are_refused(affine_folder: Path) -> None:
    with pytest.raises(StatusError, match="Unparseable ConfigProto") as caught:
        CApiSession(affine_folder, tag="serve", config=b"\xff")
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_options_reach_the_session(affine_folder: Path) -> None:
    config = config_pb2.ConfigProto(device_count={"CPU": 3, "GPU": 0}).SerializeToString()
    session = CApiSession(affine_folder, tag="serve", config=config)
    assert session.device_types() == {"CPU"}
    library = tensorflow_library()
    with checked_status() as status:
        devices = library.TF_SessionListDevices(session._session, status)
    assert library.TF_DeviceListCount(devices) == 3
    library.TF_DeleteDeviceList(devices)
    session.close()


def test_unknown_tag_is_not_found(affine_folder: Path) -> None:
    with pytest.raises(StatusError, match="other") as caught:
        CApiSession(affine_folder, tag="other", config=_CPU_CONFIG)
    assert caught.value.code == Code.NOT_FOUND


def test_meta_graph_is_that_of_the_file(affine: _Model, affine_folder: Path) -> None:
    written = saved_model_pb2.SavedModel.FromString((affine_folder / "saved_model.pb").read_bytes()).meta_graphs[0]
    assert dict(affine.signatures) == dict(written.signature_def)


def test_run_restores_variables_and_answers_as_tensorflow_does(affine: _Model, affine_folder: Path) -> None:
    expected = tf.saved_model.load(str(affine_folder)).signatures["with_shift"](x=tf.constant(_X), shift=tf.constant(5.0))
    np.testing.assert_array_equal(affine.run("with_shift", x=_X, shift=np.array(5, np.float32))["y"], expected["y"])


def test_run_takes_and_gives_strings(text: _Model) -> None:
    answer = text.run(text=_array([_LONG_STRING, b""]))
    assert answer["upper"].tolist() == [_LONG_STRING.upper(), b""]
    assert answer["joined"].shape == () and answer["joined"].item() == _LONG_STRING
    assert answer["length"].tolist() == [len(_LONG_STRING), 0]


def test_memory_of_strings_is_kept_as_long_as_the_model_holds_them(tmp_path: Path) -> None:
    class Keeper(tf.Module):
        def __init__(self) -> None:
            self.kept = tf.Variable([b""], shape=[None])

        @tf.function
        def keep(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            before = self.kept.read_value()
            with tf.control_dependencies([before]):
                self.kept.assign(text)
            return {"before": before}

    keeper = Keeper()
    tf.saved_model.save(keeper, str(tmp_path / "1"), signatures=keeper.keep.get_concrete_function(
        tf.TensorSpec([None], tf.string, "text")))
    num_held = len(STRING_BUFFERS)
    model = _Model(tmp_path / "1")
    for number in range(5):
        model.run(text=_array([_LONG_STRING + bytes([number])] * 100))
    assert model.run(text=_array([b"last"]))["before"].tolist() == [_LONG_STRING + b"\4"] * 100
    model.session.close()
    assert len(STRING_BUFFERS) == num_held


def test_other_python_threads_go_on_during_a_run(tmp_path: Path) -> None:
    model = _Model(save_slow_model(tmp_path / "1"))
    started = tmp_path / "started"
    thread = threading.Thread(target=model.run, kwargs={
        "seconds": np.array(0.5), "started": _array(str(started).encode())})
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1
    assert count > 1000


def _save_waiting_model(folder: Path) -> Path:
    """Saves a model that takes the sum of `seconds`, float64 [None]."""
    class Waiting(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, "seconds")])
        def wait(self, seconds: tf.Tensor) -> dict[str, tf.Tensor]:
            end = tf.timestamp() + tf.reduce_sum(seconds)
            count, = tf.while_loop(lambda _: tf.timestamp() < end, lambda count: [count + 1], [tf.constant(0, tf.int64)])
            return {"count": count}

    waiting = Waiting()
    tf.saved_model.save(waiting, str(folder), signatures=waiting.wait)
    return folder


def _run_out_of_time(model: _Model, num_numbers: int) -> None:
    with pytest.raises(StatusError) as caught:
        model.run(seconds=np.full(num_numbers, 3600.0), timeout_seconds=0.1)
    assert caught.value.code == Code.DEADLINE_EXCEEDED


def test_run_that_was_not_expected_to_be_long_overruns_its_time_once(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_c_session, "_SHORT_SECONDS", 0.09)
    model = _Model(_save_waiting_model(tmp_path / "1"))
    _run_out_of_time(model, 1)
    for _ in range(20):
        model.run(seconds=np.zeros(1), timeout_seconds=60)
    _run_out_of_time(model, 2)  # A larger input than any before might well take longer.
    for _ in range(20):
        model.run(seconds=np.zeros(2), timeout_seconds=60)
    assert model.run(seconds=np.array([0.2, 0.2]), timeout_seconds=0.1)["count"] > 0
    _run_out_of_time(model, 1)
    model.session.close()


def test_what_is_kept_for_each_order_of_outputs_does_not_grow_without_end(affine: _Model) -> None:
    signature = affine.signatures["serving_default"]
    y, z = (signature.outputs[alias].name for alias in "yz")
    for number in range(300):
        fetches = [y if number >> bit & 1 else z for bit in range(9)]
        values = affine.session.run({signature.inputs["x"].name: _X}, fetches)
        assert [np.array_equal(value, 2 * _X) for value in values] == [name == y for name in fetches]
    assert len(affine.session._calls) < 300


def test_closed_session_can_be_closed_again(affine_folder: Path) -> None:
    session = CApiSession(affine_folder, tag="serve", config=_CPU_CONFIG)
    session.close()
    session.close()


def _save_large_model(folder: Path, num_bytes: int) -> None:
    class Large(tf.Module):
        def __init__(self) -> None:
            self.weights = tf.Variable(tf.ones([num_bytes // 4]))

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def scaled(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x * self.weights[0]}

    model = Large()
    tf.saved_model.save(model, str(folder), signatures=model.scaled)


def _save_large_graph(folder: Path, num_bytes: int) -> None:
    """Saves a model that holds its numbers in the graph."""
    class Large(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
        def scaled(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x * tf.constant(np.arange(num_bytes // 4, dtype=np.float32))[1]}

    model = Large()
    tf.saved_model.save(model, str(folder), signatures=model.scaled)


def _load_and_close(folder: Path) -> None:
    model = _Model(folder)
    model.run(x=np.array(1, np.float32))
    model.session.close()


def _make_options(config: bytes) -> None:
    with _session_options(config):
        pass


def _expect_failure(action: Callable[[], object]) -> None:
    with pytest.raises(StatusError):
        action()


# What is done, how often, and how many bytes would be lost at least if a single object of one round were not given back.
_ROUNDS = {
    "status with a message": (lambda models: _expect_failure(lambda: _make_options(b"\xff")), 3000, 100),
    "options": (lambda models: _make_options(_LARGE_CONFIG), 200, 20_000),
    "tensor of numbers": (lambda models: take_array(new_tensor(np.zeros(_MEBIBYTE, np.uint8))), 50, _MEBIBYTE),
    "tensor of strings": (lambda models: take_array(new_tensor(_array([_LONG_STRING * 100] * 100))), 30, 100 * 24),
    "run with numbers": (lambda models: models["affine"].run(x=np.zeros((50_000, 2), np.float32)), 50, 400_000),
    "run with strings": (lambda models: models["text"].run(text=_array([_LONG_STRING * 100] * 100)), 30, 800_000),
    "run that fails": (lambda models: _expect_failure(lambda: models["affine"].run(
        "inverse", matrix=np.zeros((300, 200), np.float32))), 50, 240_000),
    "run that ends with its time": (lambda models: _expect_failure(lambda: models["waiting"].run(
        seconds=np.full(100_000, 1.0), timeout_seconds=0.005)), 40, 800_000),
    "list of devices": (lambda models: models["100 devices"].device_types(), 200, 10_000),
    "session": (lambda models: _load_and_close(models["large variable"]), 10, 8 * _MEBIBYTE),
    "graph and its description": (lambda models: _load_and_close(models["large graph"]), 10, 4 * _MEBIBYTE),
}


@pytest.mark.parametrize("action", _ROUNDS)
def test_memory_does_not_grow(action: str, affine: _Model, text: _Model, tmp_path: Path) -> None:
    do, num_rounds, lost_bytes = _ROUNDS[action]
    _save_large_model(tmp_path / "large", 8 * _MEBIBYTE)
    _save_large_graph(tmp_path / "graph", 4 * _MEBIBYTE)
    config = config_pb2.ConfigProto(device_count={"CPU": 100, "GPU": 0}).SerializeToString()
    many_devices = CApiSession(save_affine_model(tmp_path / "affine"), tag="serve", config=config)
    models = {"affine": affine, "text": text, "large variable": tmp_path / "large", "large graph": tmp_path / "graph",
              "100 devices": many_devices, "waiting": _Model(_save_waiting_model(tmp_path / "waiting"))}
    for _ in range(num_rounds // 4):  # Caches and the allocator reach their size.
        do(models)
    before = _bytes_in_use()
    for _ in range(num_rounds):
        do(models)
    assert _bytes_in_use() - before < num_rounds * lost_bytes / 2
    assert len(STRING_BUFFERS) == 0
    many_devices.close()


class _MemoryInfo(ctypes.Structure):
    """What mallinfo2 of the C library returns."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


def _bytes_in_use() -> int:
    """What the process has allocated and not freed: exact, where the resident memory hides what fits into old gaps."""
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _MemoryInfo
    info = mallinfo()
    return info.uordblks + info.hblkhd
