"""Exports: signatures, verification before publishing, version numbers, pruning, warm-up requests."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from expman.errors import ExportError
from expman.export import publisher
from expman.export.served_model import ServedModel
from expman.records.experiment_folder import exported_versions

SAMPLE = {"x": np.array([[1.0], [2.0]], np.float32)}


@pytest.fixture
def weight() -> tf.Variable:
    return tf.Variable(3.0)


@pytest.fixture
def served(weight) -> ServedModel:
    return ServedModel(answer=lambda inputs: {"y": inputs["x"] * weight, "rounded": tf.cast(inputs["x"], tf.int32)},
                       inputs_spec={"x": tf.TensorSpec([None, 1], tf.float32)})


def publish(served, folder, keep_versions=5):
    return publisher.publish(served, base_path=folder, sample=SAMPLE, keep_versions=keep_versions)


def test_each_head_has_a_signature_and_the_default_has_all(served, tmp_path):
    signatures = tf.saved_model.load(str(publish(served, tmp_path))).signatures
    assert {name: set(signature.structured_outputs) for name, signature in signatures.items()} == {
        "serving_default": {"y", "rounded"}, "y": {"y"}, "rounded": {"rounded"}}
    for signature in signatures.values():
        assert signature.structured_input_signature[1] == {"x": tf.TensorSpec([None, 1], tf.float32, name="x")}


def test_an_export_has_the_values_of_its_moment(served, weight, tmp_path):
    first = publish(served, tmp_path)
    weight.assign(5.0)
    second = publish(served, tmp_path)
    for version, expected in ((first, 3.0), (second, 5.0)):
        answer = tf.saved_model.load(str(version)).signatures["y"](x=tf.constant([[1.0]]))["y"]
        assert float(answer[0, 0]) == expected


def test_versions_count_up_and_the_oldest_go(served, tmp_path):
    versions = [publish(served, tmp_path, keep_versions=2).name for _ in range(4)]
    assert versions == ["1", "2", "3", "4"]
    assert exported_versions(tmp_path) == [3, 4]


def test_the_newest_version_is_never_pruned(served, tmp_path):
    for _ in range(3):
        publish(served, tmp_path, keep_versions=1)
    assert exported_versions(tmp_path) == [3]


def test_a_leftover_of_a_killed_export_is_removed(served, tmp_path):
    (tmp_path / ".unfinished-version").mkdir()
    (tmp_path / ".unfinished-version" / "saved_model.pb").write_bytes(b"half")
    publish(served, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def spoil_what_is_written(weight, monkeypatch):
    """Lets SavedModels be written with another weight than the one in memory."""
    write = tf.saved_model.save

    def write_other_weights(*arguments, **options):
        weight.assign(4.0)
        write(*arguments, **options)
        weight.assign(3.0)

    monkeypatch.setattr(tf.saved_model, "save", write_other_weights)


def test_a_written_model_that_answers_differently_is_not_published(served, weight, tmp_path, monkeypatch):
    spoil_what_is_written(weight, monkeypatch)
    with pytest.raises(ExportError, match=r"output 'y' is 8.0 instead of 6.0 at index \(1, 0\). Nothing was published."):
        publish(served, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_samples_can_be_exported(tmp_path):
    served = ServedModel(answer=lambda inputs: {"y": inputs["x"] + tf.random.normal(tf.shape(inputs["x"]))},
                         inputs_spec={"x": tf.TensorSpec([None, 1], tf.float32)})
    assert publish(served, tmp_path).name == "1"


def test_strings_and_not_a_number_are_compared_too(tmp_path):
    served = ServedModel(answer=lambda inputs: {"text": tf.strings.as_string(inputs["x"]), "nan": inputs["x"] * np.nan},
                         inputs_spec={"x": tf.TensorSpec([None, 1], tf.float32)})
    assert publish(served, tmp_path).name == "1"


def warmup_requests(version):
    """The requests in a version's file, read by TensorFlow and the official message types."""
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]
    return [log.predict_log.request for log in logs]


def test_each_signature_can_be_warmed_up_with_one_sample_and_with_all(served, tmp_path):
    version = publish(served, tmp_path / "scaling")
    requests = warmup_requests(version)
    signatures = tf.saved_model.load(str(version)).signatures
    assert {request.model_spec.name for request in requests} == {"scaling"}
    assert [(request.model_spec.signature_name, tf.make_ndarray(request.inputs["x"]).tolist()) for request in requests] == [
        (name, batch) for batch in ([[1.0]], [[1.0], [2.0]]) for name in signatures]
    for request in requests:
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        if "y" in answer:
            np.testing.assert_array_equal(answer["y"], 3 * inputs["x"])


@pytest.mark.parametrize(("spec", "answer"), [
    (tf.TensorSpec([2, 1], tf.float32), lambda inputs: {"y": inputs["x"]}),
    (tf.TensorSpec([None, 1], tf.float32), lambda inputs: {"y": tf.reshape(inputs["x"], [-1, 2])})])
def test_a_model_that_cannot_answer_one_sample_is_not_warmed_up_with_one(tmp_path, spec, answer):
    version = publish(ServedModel(answer=answer, inputs_spec={"x": spec}), tmp_path)
    assert [request.inputs["x"].tensor_shape.dim[0].size for request in warmup_requests(version)] == [2, 2]


def test_texts_warm_up_too(tmp_path):
    served = ServedModel(answer=lambda inputs: {"length": tf.strings.length(inputs["text"])},
                         inputs_spec={"text": tf.TensorSpec([None], tf.string)})
    texts = np.array([b"one", "zwölf".encode()], object)
    version = publisher.publish(served, base_path=tmp_path, sample={"text": texts}, keep_versions=1)
    assert [tf.make_ndarray(request.inputs["text"]).tolist() for request in warmup_requests(version)] == [
        [b"one"]] * 2 + [[b"one", "zwölf".encode()]] * 2


@pytest.mark.parametrize(("megabytes_per_sample", "batch_sizes"), [(1.5, [1, 1]), (5, [])])
def test_large_samples_do_not_fill_the_disk(tmp_path, caplog, megabytes_per_sample, batch_sizes):
    served = ServedModel(answer=lambda inputs: {"sum": tf.reduce_sum(inputs["x"], axis=1)},
                         inputs_spec={"x": tf.TensorSpec([None, None], tf.uint8)})
    sample = {"x": np.ones([2, int(megabytes_per_sample * 2**20)], np.uint8)}
    with caplog.at_level(logging.INFO, logger="expman"):
        version = publisher.publish(served, base_path=tmp_path, sample=sample, keep_versions=1)
    assert "will not be warmed up" in caplog.text
    assert (version / "assets.extra").exists() == bool(batch_sizes)
    if batch_sizes:
        assert [request.inputs["x"].tensor_shape.dim[0].size for request in warmup_requests(version)] == batch_sizes


def test_where_there_is_a_gpu_the_written_model_is_asked_in_python(served, weight, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])
    asked = []
    load = tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda folder: asked.append(folder) or load(folder))
    publish(served, tmp_path)
    assert len(asked) == 1
    spoil_what_is_written(weight, monkeypatch)
    with pytest.raises(ExportError, match="output 'y' is 8.0 instead of 6.0"):
        publish(served, tmp_path)


def test_an_output_that_no_answer_can_carry_is_told(tmp_path):
    served = ServedModel(answer=lambda inputs: {"y": tf.bitcast(tf.cast(inputs["x"], tf.int8), tf.qint8)},
                         inputs_spec={"x": tf.TensorSpec([None, 1], tf.float32)})
    with pytest.raises(ExportError, match=r"cannot be served \(.*\). Nothing was published."):
        publish(served, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_no_request_can_carry_is_told(tmp_path):
    served = ServedModel(answer=lambda inputs: {"y": tf.bitcast(inputs["x"], tf.int8)},
                         inputs_spec={"x": tf.TensorSpec([None, 1], tf.qint8)})
    sample = {"x": np.zeros([2, 1], tf.qint8.as_numpy_dtype)}
    with pytest.raises(ExportError, match="served input 'x' cannot be sent"):
        publisher.publish(served, base_path=tmp_path, sample=sample, keep_versions=1)
