"""Which patches are kept: entropy against SciPy's, NaN, the user's own rules."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from data_pipelines.patches.filters import PatchFilterError, PatchFilters, classes_entropy

RAW = np.ones([4, 4, 2], np.float32)


@pytest.mark.parametrize(("dtype", "lowest", "highest"), [
    (np.uint8, 0, 5), (np.uint8, 250, 255), (np.int16, -7, 7), (np.int32, -2**31, 2**31 - 1), (np.uint16, 0, 65535),
    (np.int64, -1, 1)])
def test_the_entropy_is_scipys_in_bits(dtype, lowest, highest):
    labels = np.random.default_rng(0).integers(lowest, highest, [31, 17], dtype, endpoint=True)
    expected = scipy.stats.entropy(np.unique(labels, return_counts=True)[1], base=2)
    assert classes_entropy(labels) == pytest.approx(expected, rel=1e-12)


def test_one_class_has_no_entropy_and_four_equal_ones_have_two_bits():
    assert classes_entropy(np.full([5, 5], 7)) == 0
    assert classes_entropy(np.repeat(np.arange(4), 6)) == pytest.approx(2)


@pytest.mark.parametrize(("threshold", "is_kept"), [(None, True), (0, True), (0.99, True), (1.0, False), (1.5, False)])
def test_a_patch_is_kept_when_its_entropy_is_above_the_threshold(threshold, is_kept):
    labels = np.repeat(np.uint8([[0], [1]]), 8).reshape(4, 4)
    assert (PatchFilters(classes_entropy_threshold=threshold).apply(RAW, labels) is not None) == is_kept


def test_a_patch_of_one_class_is_dropped_by_the_threshold_zero():
    assert PatchFilters(classes_entropy_threshold=0).apply(RAW, np.zeros([4, 4], np.uint8)) is None


def test_of_several_label_channels_the_first_counts():
    mixed, uniform = np.arange(16).reshape(4, 4), np.zeros([4, 4], int)
    filters = PatchFilters(classes_entropy_threshold=1)
    assert filters.apply(RAW, np.stack([mixed, uniform], -1)) is not None
    assert filters.apply(RAW, np.stack([uniform, mixed], -1)) is None


@pytest.mark.parametrize("is_in_labels", [False, True])
def test_nan_is_kept_replaced_or_avoided(is_in_labels):
    raw, labels = RAW.copy(), np.ones([4, 4], np.float32)
    (labels if is_in_labels else raw)[1, 2] = np.nan
    assert PatchFilters(manage_nan_values="avoid").apply(raw, labels) is None
    assert PatchFilters(manage_nan_values="avoid").apply(RAW, np.ones([4, 4])) is not None
    filled_raw, filled_labels = PatchFilters(manage_nan_values="zeros").apply(raw, labels)
    np.testing.assert_array_equal(filled_raw, np.nan_to_num(raw))
    np.testing.assert_array_equal(filled_labels, np.nan_to_num(labels))
    assert (filled_raw.dtype, filled_labels.dtype) == (np.float32, np.int32)
    if is_in_labels:
        with pytest.raises(ValueError, match="whole numbers.*nan.*manage_nan_values"):
            PatchFilters().apply(raw, labels)
    else:
        np.testing.assert_array_equal(PatchFilters().apply(raw, labels)[0], raw)
    assert np.isnan(labels if is_in_labels else raw).any()  # what was read, perhaps a memory map, is not changed


@pytest.mark.parametrize("value", [0.5, 2.0**31, -2.0**40, np.inf])
def test_labels_that_are_no_whole_numbers_of_32_bits_are_refused(value):
    with pytest.raises(ValueError, match="whole numbers of 32 bits"):
        PatchFilters().apply(RAW, np.full([4, 4], value))


def test_the_users_filters_see_raw_and_labels_and_all_must_agree():
    labels = np.arange(16).reshape(4, 4)
    seen = []

    def has_class_three(raw, labels):
        seen.append((raw, labels))
        return 3 in labels

    assert PatchFilters(additional_filters=[has_class_three, lambda raw, labels: True]).apply(RAW, labels) is not None
    assert PatchFilters(additional_filters=[lambda raw, labels: raw.mean() > 2, has_class_three]).apply(RAW, labels) is None
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][1], labels)
    assert PatchFilters(additional_filters=[lambda raw, labels: labels is None]).apply(RAW, None) is not None


def test_a_users_filter_that_raises_is_named():
    with pytest.raises(PatchFilterError, match=r"additional_filters\[0\] raised ZeroDivisionError"):
        PatchFilters(additional_filters=[lambda raw, labels: 1 / 0]).apply(RAW, None)


@pytest.mark.parametrize(("argument", "value"), [
    ("manage_nan_values", "zero"), ("classes_entropy_threshold", -1), ("additional_filters", len),
    ("additional_filters", [3])])
def test_a_wrong_argument_is_named_with_its_value(argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be"):
        PatchFilters(**{argument: value})
