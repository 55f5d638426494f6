"""The requests that a version brings are answered before it serves, and a fault in them keeps it from serving."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ServedVersion
from expman.serving.models.version_states import VersionState
from expman.serving.models.warmup import WARM_UP_FILE, warm_up
from expman.wire.status import Code, StatusError
from expman.wire.tf_records import read_records
from tests.support.serving_model_stores import FilePredictor, Loader, answer_of, publish, started_store, wait_for_state


def predict_log(index: int) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "m"
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([float(index)]))
    return log


def write_records(file: Path, records: Sequence[bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)
    return file


def write_logs(version_folder: Path, logs: Sequence[prediction_log_pb2.PredictionLog]) -> Path:
    return write_records(version_folder / WARM_UP_FILE, [log.SerializeToString() for log in logs])


def refuse(_: object) -> None:
    raise AssertionError("nothing was to be answered")


@pytest.mark.parametrize("records", [[], [b""], [b"a", b"", b"bc" * 5000], [bytes(range(256))] * 300])
def test_records_are_read_as_tensorflow_wrote_them(tmp_path: Path, records: list[bytes]) -> None:
    assert list(read_records(write_records(tmp_path / "file", records))) == records


@pytest.mark.parametrize("num_bytes", [5, 11, 12, 13, 20, 25])
def test_records_that_are_cut_short_are_data_loss(tmp_path: Path, num_bytes: int) -> None:
    file = write_records(tmp_path / "file", [b"0123456789"])
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(StatusError, match="record 0 is cut short.*TFRecord") as caught:
        list(read_records(file))
    assert caught.value.code is Code.DATA_LOSS


def test_file_of_another_kind_is_data_loss(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("This is a text, and not a file of records.")
    with pytest.raises(StatusError, match="record 0 has a length that does not fit its check") as caught:
        list(read_records(tmp_path / "file"))
    assert caught.value.code is Code.DATA_LOSS


def test_logs_of_all_kinds_are_handed_over_in_order(tmp_path: Path) -> None:
    logs = [predict_log(0), predict_log(1)]
    for kind in ("classify_log", "regress_log", "multi_inference_log"):
        logs.append(prediction_log_pb2.PredictionLog())
        getattr(logs[-1], kind).request.SetInParent()
    write_logs(tmp_path, logs)
    answered = []
    assert warm_up(tmp_path, answer=answered.append) == 5
    assert answered == logs


def test_version_without_warm_up_requests_needs_none(tmp_path: Path) -> None:
    assert warm_up(tmp_path, answer=refuse) == 0


def test_1000_requests_are_answered_and_one_more_is_refused(tmp_path: Path) -> None:
    write_logs(tmp_path, [predict_log(0)] * 1000)
    assert warm_up(tmp_path, answer=lambda _: None) == 1000
    file = write_logs(tmp_path, [predict_log(0)] * 1001)
    with pytest.raises(StatusError) as caught:
        warm_up(tmp_path, answer=lambda _: None)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == f"Number of warmup records exceeds the maximum (1000) at {file}"


def test_record_that_is_no_log_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = write_records(tmp_path / WARM_UP_FILE, [predict_log(0).SerializeToString(), b"\xff" * 8])
    with pytest.raises(StatusError, match=f"Failed to parse warmup record: number 1 from {file}") as caught:
        warm_up(tmp_path, answer=lambda _: None)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_request_that_fails_is_an_error_with_its_place_and_code(tmp_path: Path) -> None:
    def answer(log: prediction_log_pb2.PredictionLog) -> None:
        if log.predict_log.request.inputs["x"].float_val[0] == 1:
            raise StatusError(Code.FAILED_PRECONDITION, 'Serving signature key "s" not found.')

    file = write_logs(tmp_path, [predict_log(0), predict_log(1)])
    with pytest.raises(StatusError) as caught:
        warm_up(tmp_path, answer=answer)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert caught.value.message == f'warm-up request 1 of {file} failed: Serving signature key "s" not found.'


def test_version_serves_only_after_its_warm_up(tmp_path: Path) -> None:
    is_warming, may_end = threading.Event(), threading.Event()
    warmed = []

    def warm(served: ServedVersion, folder: Path) -> None:
        warmed.append((served.name, served.number, folder, served.predictor.run()))
        if served.number == 2:
            is_warming.set()
            assert may_end.wait(60)

    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), warm_up=warm) as store:
        publish(tmp_path, 2, "two")
        store.look()
        assert is_warming.wait(60)
        assert answer_of(store) == (1, "one")
        assert [status.state for status in store.statuses("m", version=2)] == [VersionState.LOADING]
        with pytest.raises(StatusError, match=r"Specific\(m, 2\)"):
            store.acquire("m", version=2)
        may_end.set()
        wait_for_state(store, 2, VersionState.AVAILABLE)
    assert warmed == [("m", 1, tmp_path / "1", ["one"]), ("m", 2, tmp_path / "2", ["two"])]


def test_version_whose_warm_up_fails_is_closed_and_the_one_before_serves_on(tmp_path: Path) -> None:
    def warm(served: ServedVersion, folder: Path) -> None:
        warm_up(folder, answer=lambda _: served.predictor.run())

    load = Loader()
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), load=load, warm_up=warm) as store:
        (tmp_path / "new" / WARM_UP_FILE.parent).mkdir(parents=True)
        (tmp_path / "new" / WARM_UP_FILE).write_bytes(b"not a record at all")
        (tmp_path / "new" / "answer.txt").write_text("two")
        (tmp_path / "new").rename(tmp_path / "2")
        store.reload([ModelConfig("m", tmp_path)])
        assert answer_of(store) == (1, "one")
        status, = store.statuses("m", version=2)
        assert (status.state, status.error_code) == (VersionState.END, Code.DATA_LOSS)
        assert isinstance(load.predictors[1], FilePredictor)
        assert load.predictors[1].closed.is_set()
