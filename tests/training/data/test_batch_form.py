"""A forgotten batch(), arrays instead of a dataset and samples of different shapes are named before training."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman.training.data.batch_form import unbatched_error, what_to_return
from tests.support.settings_files import MODEL, write_experiment

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
RAGGED = "tf.data.Dataset.range(1, 49).map(lambda n: (tf.ones([n % 5 + 1, 3]), tf.ones([1]))).ragged_batch(batch_size)"


@pytest.mark.parametrize(("returned", "expected"), [
    ("return dataset", "the dataset of get_input_pipeline_train_val is not batched: its elements are single samples, no batches: "
     "[3], [1]. End the pipeline by .batch(batch_size), here 16."),
    ("return dataset.map(lambda x, y: (x, y[0]))", "no batches: [3], a scalar. End the pipeline by .batch(batch_size)"),
    ("return x, y", "Got tuple. Write tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size) of these arrays"),
    ("return x", "Got ndarray. Write tf.data.Dataset.from_tensor_slices((features, labels)).batch(batch_size)."),
    ("return tf.data.Dataset.range(1, 20).map(lambda n: (tf.ones([n]), tf.ones([1]))).batch(batch_size)",
     "The samples have different shapes. Batch them by padded_batch(batch_size)"),
    (f"return {RAGGED}",
     "the features reach the network as a RaggedTensor [None, None, 3], of which its layers can compute nothing: the samples have "
     "different shapes. Fill the shorter ones up, by padded_batch(batch_size) instead of ragged_batch(batch_size), or by "
     "map(lambda x, y: (x.to_tensor(), y)) after it; where data_preprocess makes them ragged, let it return their to_tensor()."),
    (f"return {RAGGED}.map(lambda x, y: ({{'words': x, 'n': y}}, y))\n\n\ndef data_preprocess(features):\n    return dict(features)",
     "the features 'words' reach the network as a RaggedTensor [None, None, 3]"),
    (f"return {RAGGED}\n\n\ndef data_preprocess(features):\n    return tf.transpose(features)",
     "data_preprocess raised an exception.|The features are ragged: the samples have different shapes. Fill the shorter ones up")])
def test_what_is_no_batch_is_refused_before_anything_is_written(tmp_path, capsys, returned, expected):
    file = write_experiment(tmp_path, (PIPELINE, returned))
    assert experiments_manager.main(["--usersettings", str(file)]) == 1
    message = capsys.readouterr().err
    assert all(part in message for part in expected.split("|")) and not (tmp_path / "experiments").exists()


def test_ragged_features_train_once_they_are_filled_up_as_advised(tmp_path):
    file = write_experiment(tmp_path, (PIPELINE, f"return {RAGGED}.map(lambda x, y: (x.to_tensor(), y))"),
                            ("TensorSpec([None, 3]", "TensorSpec([None, None, 3]"),
                            model=MODEL.replace("(data)", "(keras.layers.GlobalAveragePooling1D()(data))"))
    assert experiments_manager.main(["--usersettings", str(file)]) == 0


@pytest.mark.parametrize(("shapes", "is_refused"), [
    (([3], []), True), (([28, 28, 1], [10]), True), (([], []), True),
    (([None, 3], [None, 1]), False), (([16, 3], [16]), False), (([7, 3], [7]), False), (([None, 3], []), False),
    (([16, 3], []), False), (([100, 3], [100, 1]), False), ((None, [1]), False)])
def test_single_samples_are_told_from_batches(shapes, is_refused):
    spec = tuple(tf.TensorSpec(shape, tf.float32) for shape in shapes)
    assert (unbatched_error(spec, 16) is not None) == is_refused


@pytest.mark.parametrize(("shapes", "served", "is_refused"), [
    (([28, 28, 1], [28, 28, 1]), [None, 28, 28, 1], True), (([10], [10]), [None, 10], True), (([16, 3], [16, 3]), [None, 16, 3], True),
    (([28, 28, 1], [28, 28, 1]), [None, 28, None, None], True), (([100, 3], [100, 1]), [None, 3], False),
    (([28, 28, 1], [28, 28, 1]), [None, 28, 1], False),  # 28 samples of [28, 1]
    (([100, 3], [100, 1]), [None, None, 3], False), (([16, 3], [16]), [None, 3], False), (([None, 3], [None, 3]), [None, 16, 3], False)])
def test_single_samples_with_one_first_size_are_known_by_the_served_input(shapes, served, is_refused):
    features, labels = (tf.TensorSpec(shape, tf.float32) for shape in shapes)
    served = tf.TensorSpec(served, tf.float32)
    for spec, input_spec in (((features, labels), served), ((features, labels), {"x": served}),
                             (({"x": features}, labels), {"x": served})):
        assert (unbatched_error(spec, 16, served_spec=lambda: input_spec) is not None) == is_refused
    for input_spec in (None, {"x": served, "y": served}, {"z": None}):
        assert unbatched_error((features, labels), 16, served_spec=lambda: input_spec) is None


def test_unbatched_pairs_of_the_same_shape_are_refused(tmp_path, capsys):
    file = write_experiment(tmp_path, (PIPELINE, "return dataset.map(lambda x, y: (x, x))"))
    assert experiments_manager.main(["--usersettings", str(file)]) == 1
    assert "its elements are single samples, no batches: [3], [3]. End the pipeline by .batch(batch_size), here 16." in (
        capsys.readouterr().err)


def test_advice_is_given_for_arrays_only():
    assert "from_tensor_slices((x, y))" in what_to_return(({"a": np.zeros(3)}, np.zeros(3)))
    assert what_to_return([1, 2]) == what_to_return(None) == what_to_return((3,)) == ""
