"""What is told of two arrays of answers that differ, and what counts as equal."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from expman.export.array_difference import are_equal, described_difference

NAN, INF = np.nan, np.inf


def described(expected, actual, dtype=np.float32):
    return described_difference(np.array(expected, dtype), np.array(actual, dtype), relative_tolerance=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("values", [[NAN, NAN], [1, NAN], [INF, 1], [-INF, INF], [], [[0, 0]], 3])
def test_the_same_numbers_are_equal_not_a_number_and_infinities_among_them(values, dtype):
    assert described(values, values, dtype) is None


@pytest.mark.parametrize(("expected", "actual", "text"), [
    ([1, NAN, 100], [1, NAN, 90], "is 90.0 instead of 100.0 at index (2,)"),
    ([1, 2, 100], [1, NAN, 90], "is nan instead of 2.0 at index (1,)"),
    ([1, NAN, 100], [1, 2, 90], "is 2.0 instead of nan at index (1,)"),
    ([[1, 2]], [[NAN, NAN]], "is nan instead of 1.0 at index (0, 0)"),
    ([[NAN, NAN]], [[NAN, 2]], "is 2.0 instead of nan at index (0, 1)"),
    ([1, INF], [9, 9], "is 9.0 instead of inf at index (1,)"),
    ([1, INF], [1, -INF], "is -inf instead of inf at index (1,)"),
    ([1, INF], [1, NAN], "is nan instead of inf at index (1,)"),
    ([1, 2], [1, INF], "is inf instead of 2.0 at index (1,)"),
    (3, 4, "is 4.0 instead of 3.0 at index ()")])
def test_the_cell_that_differs_most_is_named_and_never_an_equal_one(expected, actual, text):
    assert described(expected, actual) == text


def test_numbers_are_equal_up_to_rounding_relative_to_the_largest():
    assert are_equal(np.array([1000.0, 0.0]), np.array([1000.0, 0.09]), relative_tolerance=1e-4)
    assert not are_equal(np.array([1000.0, 0.0]), np.array([1000.0, 0.11]), relative_tolerance=1e-4)
    assert not are_equal(np.array([INF, 0.0]), np.array([INF, 0.11]), relative_tolerance=1e-4)


def test_half_precision_is_compared_by_its_values():
    assert described([1, 2], [1, 3], ml_dtypes.bfloat16) == "is 3 instead of 2 at index (1,)"
    assert "instead of" in described([1, 2], [1, 3], np.float16)


def test_the_imaginary_part_counts():
    assert described([1 + 2j], [1 + 3j], np.complex64) == "is (1+3j) instead of (1+2j) at index (0,)"


@pytest.mark.parametrize(("expected", "actual", "dtype", "text"), [
    ([1, 2, 3], [1, 4, 2], np.int32, "is 4 instead of 2 at index (1,)"),
    ([2**62], [2**62 + 1], np.int64, f"is {2**62 + 1} instead of {2**62} at index (0,)"),
    ([0], [255], np.uint8, "is 255 instead of 0 at index (0,)"),
    ([True, False], [True, True], np.bool_, "is True instead of False at index (1,)"),
    ([b"one", b"two"], [b"one", b"three"], object, "is b'three' instead of b'two' at index (1,)"),
    ([[b"a" * 90]], [[b""]], object, f"is b'' instead of b'{'a' * 58}… at index (0, 0)")])
def test_whole_numbers_truth_values_and_texts_must_be_the_same(expected, actual, dtype, text):
    assert described(expected, actual, dtype) == text
    assert described(expected, expected, dtype) is None


@pytest.mark.parametrize(("expected", "actual"), [
    (np.zeros([2, 1]), np.zeros([2])), (np.zeros([2], np.float32), np.zeros([2])), (np.zeros([0, 3]), np.zeros([0, 2])),
    (np.zeros([1], object), np.zeros([1]))])
def test_other_shapes_and_dtypes_are_told_whatever_the_values(expected, actual):
    assert described_difference(expected, actual, relative_tolerance=1e-4) == (
        f"has shape {actual.shape} and dtype {actual.dtype} instead of {expected.shape} and {expected.dtype}")
