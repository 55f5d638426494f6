"""Exports: signatures, verification before publishing, version numbers, pruning."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import ExportError
from expman.experiment_folder import exported_versions
from expman.export import publisher
from expman.export.served_model import ServedModel

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


def test_a_written_model_that_answers_differently_is_not_published(served, weight, tmp_path, monkeypatch):
    write = tf.saved_model.save

    def write_other_weights(*arguments, **options):
        weight.assign(4.0)
        write(*arguments, **options)
        weight.assign(3.0)

    monkeypatch.setattr(tf.saved_model, "save", write_other_weights)
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
