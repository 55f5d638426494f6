"""Requests are joined along the batch and cut apart again without a sample lost, by the rules of TensorFlow Serving."""

from __future__ import annotations

import numpy as np
import pytest

from expman.serving.batching.joined_tensors import batch_size, joined_feeds, parted_outputs
from expman.wire.status import Code, StatusError


def test_the_size_is_that_of_the_first_dimension_of_all_inputs():
    assert batch_size({"x": np.zeros([3, 2]), "text": np.array([b"a", b"b", b"c"], object)}) == 3


@pytest.mark.parametrize(("feeds", "words"), [
    ({}, "at least one input tensor"), ({"x": np.float32(1)}, "at least one dimension"),
    ({"x": np.zeros([2, 1]), "y": np.zeros([3, 1])}, "equal 0th-dimension size")])
def test_inputs_without_a_common_size_are_refused(feeds, words):
    with pytest.raises(StatusError, match=words) as told:
        batch_size(feeds)
    assert told.value.code is Code.INVALID_ARGUMENT


def test_what_is_joined_comes_apart_as_it_was():
    chance = np.random.default_rng(0)
    requests = [{"x": chance.normal(size=[size, 2, 3]).astype(np.float32), "n": chance.integers(9, size=[size])}
                for size in (1, 4, 2)]
    joined = joined_feeds(requests, num_added=3, pads_dimensions=False)
    assert joined["x"].shape == (10, 2, 3) and joined["x"].dtype == np.float32
    np.testing.assert_array_equal(joined["x"][7:], np.stack([requests[2]["x"][0]] * 3))
    parts = parted_outputs([joined["x"], joined["n"]], [1, 4, 2], num_added=3)
    for request, (x, n) in zip(requests, parts, strict=True):
        np.testing.assert_array_equal(x, request["x"])
        np.testing.assert_array_equal(n, request["n"])


def test_a_single_request_is_not_copied():
    array = np.zeros([2, 3])
    assert joined_feeds([{"x": array}], num_added=0, pads_dimensions=True)["x"] is array
    assert parted_outputs([array], [2], num_added=0)[0][0] is array


def test_other_dimensions_are_filled_up_with_the_first_value_of_each_request():
    joined = joined_feeds([{"x": np.array([[5, 6, 7]])}, {"x": np.array([[1], [2]])}], num_added=1, pads_dimensions=True)
    assert joined["x"].tolist() == [[5, 6, 7], [1, 1, 1], [2, 1, 1], [1, 1, 1]]
    texts = joined_feeds([{"x": np.array([[b"a"]], object)}, {"x": np.array([[b"b", b"c"]], object)}], num_added=0,
                         pads_dimensions=True)
    assert texts["x"].tolist() == [[b"a", b"a"], [b"b", b"c"]]


@pytest.mark.parametrize(("shapes", "words"), [
    (([1, 2], [1, 0]), "Got empty tensor in batch of non-empty tensors"),
    (([1] * 6 + [2], [1] * 7), "Only tensors with rank from 1 to 6 can be padded")])
def test_what_cannot_be_filled_up_is_refused(shapes, words):
    with pytest.raises(StatusError, match=words) as told:
        joined_feeds([{"x": np.zeros(shape)} for shape in shapes], num_added=0, pads_dimensions=True)
    assert told.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("output", [np.float32(1), np.zeros([4, 2])])
def test_an_output_without_a_row_for_each_sample_is_refused(output):
    with pytest.raises(StatusError, match="0 dimensions|does not equal the sum") as told:
        parted_outputs([np.asarray(output)], [1, 2], num_added=0)
    assert told.value.code is Code.FAILED_PRECONDITION
