"""Each function of TensorFlow's C library does what is expected of it, and gives back all memory that it takes."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from serving_models import save_affine_model, save_slow_model, save_text_model
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from expman.serving import tensorflow_c_api as c_api
from expman.serving.tensorflow_error import INVALID_ARGUMENT_CODE, NOT_FOUND_CODE, TensorFlowError

_X = np.array([[1, 2], [3, 4]], np.float32)
_CPU_CONFIG = config_pb2.ConfigProto(device_count={"GPU": 0}).SerializeToString()
_LARGE_CONFIG = config_pb2.ConfigProto(device_filters=["f" * 20_000]).SerializeToString()
_MEBIBYTE = 2**20
_LONG_STRING = b"far longer than the 22 bytes that a TF_TString holds in itself \0 with a zero byte"


class _Model:
    """A loaded SavedModel that is run by the names of a signature."""

    def __init__(self, folder: Path) -> None:
        self.session = c_api.CApiSession(folder, tag="serve", config=_CPU_CONFIG)
        self.signatures = meta_graph_pb2.MetaGraphDef.FromString(self.session.meta_graph).signature_def

    def run(self, signature: str = "serving_default", **inputs: np.ndarray) -> dict[str, np.ndarray]:
        known = self.signatures[signature]
        values = self.session.run({known.inputs[name].name: value for name, value in inputs.items()},
                                  [tensor.name for tensor in known.outputs.values()])
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


def _round_trip(array: np.ndarray) -> np.ndarray:
    tensor = c_api.new_tensor(array)
    try:
        return c_api.to_array(tensor)
    finally:
        c_api.tensorflow_library().TF_DeleteTensor(tensor)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [
    np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16,
    np.uint32, np.uint64, np.bool_, np.complex64, np.complex128], ids=lambda dtype: np.dtype(dtype).name)
def test_numbers_come_back_from_a_tensor_as_they_were(dtype: type, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(7).integers(0, 100, shape), dtype)
    returned = _round_trip(array)
    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(returned, array)


def test_tensor_tells_type_dimensions_and_size() -> None:
    library = c_api.tensorflow_library()
    tensor = c_api.new_tensor(np.zeros((2, 5), np.int16))
    assert library.TF_TensorType(tensor) == tf.int16.as_datatype_enum
    assert [library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor))] == [2, 5]
    assert library.TF_TensorByteSize(tensor) == 20
    assert library.TF_TensorData(tensor)
    library.TF_DeleteTensor(tensor)


def test_array_that_is_not_contiguous_keeps_its_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(_round_trip(array), array)


@pytest.mark.parametrize("values", [b"", b"ab\0", [b"", b"x" * 22, b"x" * 23, _LONG_STRING], [[b"a"], [b"b"]], []], ids=str)
def test_strings_come_back_from_a_tensor_as_they_were(values: object) -> None:
    array = _array(values)
    returned = _round_trip(array)
    assert returned.dtype == object and returned.shape == array.shape
    assert returned.tolist() == array.tolist()


def test_one_string_is_laid_out_measured_and_freed() -> None:
    library = c_api.tensorflow_library()
    string = (ctypes.c_uint64 * 3)()
    address = ctypes.addressof(string)
    library.TF_StringInit(address)
    assert library.TF_StringGetSize(address) == 0
    library.TF_StringCopy(address, _LONG_STRING, len(_LONG_STRING))
    assert library.TF_StringGetSize(address) == len(_LONG_STRING)
    assert ctypes.string_at(library.TF_StringGetDataPointer(address), len(_LONG_STRING)) == _LONG_STRING
    library.TF_StringDealloc(address)
    assert library.TF_StringGetSize(address) == 0


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
    num_held = len(c_api.STRING_BUFFERS)
    model = _Model(tmp_path / "1")
    for number in range(5):
        model.run(text=_array([_LONG_STRING + bytes([number])] * 100))
    assert model.run(text=_array([b"last"]))["before"].tolist() == [_LONG_STRING + b"\4"] * 100
    model.session.close()
    assert len(c_api.STRING_BUFFERS) == num_held


def test_tensor_that_no_message_can_carry_is_refused() -> None:
    library = c_api.tensorflow_library()
    tensor = library.TF_AllocateTensor(tf.qint8.as_datatype_enum, (ctypes.c_int64 * 1)(4), 1, 4)
    with pytest.raises(TypeError, match="number 11 cannot be sent"):
        c_api.to_array(tensor)
    library.TF_DeleteTensor(tensor)


def test_failed_call_raises_with_code_and_message(tmp_path: Path) -> None:
    with pytest.raises(TensorFlowError, match="Could not find SavedModel") as caught:
        _Model(tmp_path / "nowhere")
    assert caught.value.code == NOT_FOUND_CODE


def test_options_that_are_no_config_proto_are_refused(affine_folder: Path) -> None:
    with pytest.raises(TensorFlowError, match="Unparseable ConfigProto") as caught:
        c_api.CApiSession(affine_folder, tag="serve", config=b"\xff")
    assert caught.value.code == INVALID_ARGUMENT_CODE


def test_options_reach_the_session(affine_folder: Path) -> None:
    config = config_pb2.ConfigProto(device_count={"CPU": 3, "GPU": 0}).SerializeToString()
    session = c_api.CApiSession(affine_folder, tag="serve", config=config)
    assert session.device_types() == {"CPU"}
    library = c_api.tensorflow_library()
    with c_api.checked_status() as status:
        devices = library.TF_SessionListDevices(session._session, status)
    assert library.TF_DeviceListCount(devices) == 3
    library.TF_DeleteDeviceList(devices)
    session.close()


def test_unknown_tag_is_not_found(affine_folder: Path) -> None:
    with pytest.raises(TensorFlowError, match="other") as caught:
        c_api.CApiSession(affine_folder, tag="other", config=_CPU_CONFIG)
    assert caught.value.code == NOT_FOUND_CODE


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


@pytest.mark.parametrize("name", ["nothing:0", "StatefulPartitionedCall:99"])
def test_tensor_that_the_graph_lacks_is_named(affine: _Model, name: str) -> None:
    with pytest.raises(TensorFlowError, match=f"no tensor '{name}'") as caught:
        affine.session.run({}, [name])
    assert caught.value.code == NOT_FOUND_CODE


@pytest.mark.parametrize(("signature", "inputs", "words"), [
    ("inverse", {"matrix": np.zeros((2, 3), np.float32)}, "must be square"),
    ("serving_default", {"x": np.zeros((2, 2), np.float64)}, "to be float but double is provided"),
], ids=["refused by the kernel", "wrong dtype"])
def test_failed_run_raises_with_code_and_message(affine: _Model, signature: str, inputs: dict, words: str) -> None:
    with pytest.raises(TensorFlowError, match=words) as caught:
        affine.run(signature, **inputs)
    assert caught.value.code == INVALID_ARGUMENT_CODE


def test_threads_run_one_session_at_the_same_time(affine: _Model) -> None:
    wrong = []

    def ask(number: int) -> None:
        x = np.full((3, 2), number, np.float32)
        wrong.extend(index for index in range(300) if not np.array_equal(affine.run(x=x)["y"], 2 * x))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


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


def test_closed_session_can_be_closed_again(affine_folder: Path) -> None:
    session = c_api.CApiSession(affine_folder, tag="serve", config=_CPU_CONFIG)
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
    with c_api._session_options(config):
        pass


def _expect_failure(action: Callable[[], object]) -> None:
    with pytest.raises(TensorFlowError):
        action()


# What is done, how often, and how many bytes would be lost at least if a single object of one round were not given back.
_ROUNDS = {
    "status with a message": (lambda models: _expect_failure(lambda: _make_options(b"\xff")), 3000, 100),
    "options": (lambda models: _make_options(_LARGE_CONFIG), 200, 20_000),
    "tensor of numbers": (lambda models: _round_trip(np.zeros(_MEBIBYTE, np.uint8)), 50, _MEBIBYTE),
    "tensor of strings": (lambda models: _round_trip(_array([_LONG_STRING * 100] * 100)), 30, 100 * 24),
    "run with numbers": (lambda models: models["affine"].run(x=np.zeros((50_000, 2), np.float32)), 50, 400_000),
    "run with strings": (lambda models: models["text"].run(text=_array([_LONG_STRING * 100] * 100)), 30, 800_000),
    "run that fails": (lambda models: _expect_failure(lambda: models["affine"].run(
        "inverse", matrix=np.zeros((300, 200), np.float32))), 50, 240_000),
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
    many_devices = c_api.CApiSession(save_affine_model(tmp_path / "affine"), tag="serve", config=config)
    models = {"affine": affine, "text": text, "large variable": tmp_path / "large", "large graph": tmp_path / "graph",
              "100 devices": many_devices}
    for _ in range(num_rounds // 4):  # Caches and the allocator reach their size.
        do(models)
    before = _bytes_in_use()
    for _ in range(num_rounds):
        do(models)
    assert _bytes_in_use() - before < num_rounds * lost_bytes / 2
    assert len(c_api.STRING_BUFFERS) == 0
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
