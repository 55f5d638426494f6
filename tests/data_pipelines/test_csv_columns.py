"""The kinds of columns, against NumPy, Keras and scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from DataProvider_input_pipeline import BucketColumn, NumericColumn, VocabularyColumn, encode_columns

VALUES = np.array([-3.0, 0.0, 0.1, 0.7, 1.0, 1.5, 250.0])


def test_numbers_pass_as_they_are_or_normalised():
    assert encode_columns({"x": VALUES}, [NumericColumn("x")])[:, 0].tolist() == np.float32(VALUES).tolist()
    scaled = StandardScaler().fit_transform(VALUES[:, None])
    np.testing.assert_allclose(encode_columns({"x": VALUES}, [NumericColumn("x", normaliser=(VALUES.mean(), VALUES.std()))]),
                               scaled, rtol=1e-6)
    np.testing.assert_allclose(encode_columns({"x": VALUES}, [NumericColumn("x", normaliser=np.cbrt)])[:, 0], np.cbrt(VALUES),
                               rtol=1e-6)


def test_large_numbers_are_normalised_before_they_lose_digits():
    times = 1_700_000_000 + np.arange(4.0)
    column = NumericColumn("time", normaliser=(1_700_000_000, 1))
    assert encode_columns({"time": times}, [column])[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("boundaries", [[0.7], [0, 1], [-3, 0.1, 0.7, 250]])
def test_buckets_are_those_of_numpy_and_keras(boundaries):
    column = BucketColumn("x", boundaries)
    found = encode_columns({"x": VALUES}, [column])
    assert found.shape == (len(VALUES), column.width) and found.sum(axis=1).tolist() == [1] * len(VALUES)
    assert found.argmax(axis=1).tolist() == np.digitize(VALUES, boundaries).tolist()
    keras_layer = keras.layers.Discretization(bin_boundaries=boundaries, output_mode="one_hot")
    np.testing.assert_array_equal(found, keras_layer(np.float32(VALUES)))


def test_words_are_one_hot_in_the_order_of_the_vocabulary_and_others_share_the_last_place():
    words = ["tree", "été", "", "bush", "tre", "trees", "bush", "Tree"]
    vocabulary = ["tree", "bush", "été", "a much longer word"]
    found = encode_columns({"plant": words}, [VocabularyColumn("plant", vocabulary)])
    reference = OneHotEncoder(categories=[vocabulary], handle_unknown="ignore", sparse_output=False).fit_transform(
        np.array(words)[:, None])
    np.testing.assert_array_equal(found[:, :-1], reference)
    assert found[:, -1].tolist() == (1 - reference.sum(axis=1)).tolist()


def test_values_come_from_a_frame_and_missing_ones_become_defaults():
    frame = pd.DataFrame({"x": [1.0, np.nan], "sex": ["f", None], "year": [1999, 2001]})
    columns = [NumericColumn("x", normaliser=(1, 2), default=3), BucketColumn("x", [2], default=0),
               VocabularyColumn("sex", ["m", "f"]), NumericColumn("year"), VocabularyColumn("year", ["2001"])]
    np.testing.assert_array_equal(encode_columns(frame, columns), [[0, 1, 0, 0, 1, 0, 1999, 0, 1], [1, 1, 0, 0, 0, 1, 2001, 1, 0]])


def test_values_that_lack_a_column_or_a_default_are_refused():
    with pytest.raises(ValueError, match="values lacks the columns 'y'. It has 'x'."):
        encode_columns({"x": [1]}, [NumericColumn("x"), NumericColumn("y")])
    with pytest.raises(ValueError, match="a value of 'x' is missing, and the column has no default"):
        encode_columns({"x": [1, np.nan]}, [NumericColumn("x")])


def test_a_normaliser_must_keep_the_shape():
    with pytest.raises(TypeError, match=r"normaliser must return an array like its argument. Got the shape \(\) for \(7,\)"):
        encode_columns({"x": VALUES}, [NumericColumn("x", normaliser=np.mean)])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: NumericColumn(""), "NumericColumn: name must be"),
    (lambda: NumericColumn("x", normaliser=(1, 0)), "deviation above 0. Got (1, 0)"),
    (lambda: NumericColumn("x", normaliser="log"), "normaliser must be a function or the pair"),
    (lambda: NumericColumn("x", default="0"), "default must be a number or None. Got '0'"),
    (lambda: BucketColumn("x", []), "boundaries must be ascending numbers"),
    (lambda: BucketColumn("x", [1, 1]), "boundaries must be ascending numbers"),
    (lambda: BucketColumn("x", [1, np.nan]), "boundaries must be ascending numbers"),
    (lambda: BucketColumn("x", [1], default=np.nan), "default must not be NaN"),
    (lambda: VocabularyColumn("x", "male"), "vocabulary must be a list of words"),
    (lambda: VocabularyColumn("x", []), "vocabulary must be a list of words"),
    (lambda: VocabularyColumn("x", [1, 2]), "e.g. ['1', '2']"),
    (lambda: VocabularyColumn("x", ["a", ""]), "vocabulary must be a list of words"),
    (lambda: VocabularyColumn("x", ["a", "b", "a"]), "a word stands twice"),
])
def test_wrong_declarations_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_declarations_compare_and_are_immutable():
    assert VocabularyColumn("x", ["a", "b"]) == VocabularyColumn("x", ("a", "b"))
    with pytest.raises(AttributeError):
        BucketColumn("x", [1]).boundaries = [2]
