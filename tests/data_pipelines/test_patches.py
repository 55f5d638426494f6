"""Where patches lie, and the way back from a grid of patches to the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from data_pipelines.patches.positions import (
    assemble_patches,
    grid_patches,
    grid_positions,
    num_random_patches,
    patch_shape,
    random_position,
)

SIZES = [((7,), (3,), 0), ((8,), (8,), 0), ((9,), (8,), 3), ((100,), (16,), 7), ((101,), (16,), 8), ((33,), (32,), 31),
         ((13, 29), (5, 7), 0), ((64, 64), (32, 32), 1), ((65, 31), (16, 31), 9), ((37, 53), (10, 10), 10),
         ((9, 10, 11), (4, 5, 6), 3), ((5, 5, 5), (5, 5, 5), 5)]


@pytest.mark.parametrize(("size", "patch", "field_of_view"), SIZES)
def test_the_grid_lies_inside_and_covers_every_pixel(size, patch, field_of_view):
    times_covered = np.zeros(size, int)
    positions = grid_positions(size, patch, field_of_view=field_of_view)
    for position in positions:
        window = tuple(slice(start, start + length) for start, length in zip(position, patch, strict=True))
        assert times_covered[window].shape == patch and min(position) >= 0
        times_covered[window] += 1
    assert times_covered.min() == 1
    assert len({tuple(position) for position in positions}) == len(positions)
    assert tuple(positions[-1]) == tuple(np.subtract(size, patch))


@pytest.mark.parametrize(("size", "patch", "field_of_view"), SIZES)
def test_assembling_the_patches_gives_the_whole_and_each_pixel_far_from_its_patchs_borders(size, patch, field_of_view):
    whole = np.random.default_rng(0).normal(size=[*size, 2])
    patches = grid_patches(whole, patch, field_of_view=field_of_view)
    assembled = assemble_patches(patches, size, field_of_view=field_of_view)
    np.testing.assert_array_equal(assembled, whole)
    margin = (max(field_of_view, 1) - 1) // 2
    for axis, (available, length) in enumerate(zip(size, patch, strict=True)):
        inside = np.broadcast_to(np.arange(length).reshape([-1] + [1] * (len(size) - 1 - axis)), patch)
        came_from = assemble_patches(np.stack([inside] * len(patches)), size, field_of_view=field_of_view)
        distances = np.minimum(came_from, length - 1 - came_from)
        place = np.broadcast_to(np.arange(available).reshape([-1] + [1] * (len(size) - 1 - axis)), size)
        is_inner = (place >= margin) & (place < available - margin)
        assert (distances[is_inner] >= margin).all()


def test_all_sizes_and_fields_of_view_up_to_some_pixels_assemble_to_the_whole():
    for patch in range(1, 9):
        for available, field_of_view in itertools.product(range(patch, 25), range(2 * patch)):
            if 2 * ((max(field_of_view, 1) - 1) // 2) >= patch:
                continue
            whole = np.arange(available)
            patches = grid_patches(whole, [patch], field_of_view=field_of_view)
            np.testing.assert_array_equal(assemble_patches(patches, [available], field_of_view=field_of_view), whole)


@pytest.mark.parametrize(("field_of_view", "starts"), [
    (0, [0, 16, 32, 34]), (1, [0, 16, 32, 34]), (2, [0, 16, 32, 34]), (5, [0, 12, 24, 34]), (9, [0, 8, 16, 24, 32, 34])])
def test_the_distance_of_patches_is_the_patch_less_the_field_of_view(field_of_view, starts):
    assert grid_positions([50], [16], field_of_view=field_of_view)[:, 0].tolist() == starts


def test_a_whole_as_small_as_the_patch_gives_one_patch():
    assert grid_positions((31, 17), (31, 17), field_of_view=5).tolist() == [[0, 0]]


def test_the_last_axis_varies_fastest():
    assert grid_positions((4, 6), (2, 3)).tolist() == [[0, 0], [0, 3], [2, 0], [2, 3]]


def test_a_patch_larger_than_the_whole_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match="10 × 20 is smaller than the patch 10 × 21"):
        grid_positions((10, 20), (10, 21))


@pytest.mark.parametrize(("field_of_view", "message"), [
    (17, "field_of_view must be smaller than the patch 16"), (-1, "field_of_view must be a whole number"),
    (2.5, "field_of_view must be a whole number")])
def test_a_field_of_view_that_leaves_nothing_is_refused(field_of_view, message):
    with pytest.raises(ValueError, match=message):
        grid_positions([50], [16], field_of_view=field_of_view)


def test_a_wrong_number_of_patches_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match="has 4 patches. Got 3"):
        assemble_patches(np.zeros([3, 5, 5]), (10, 10))


@pytest.mark.parametrize(("value", "size", "patch"), [
    (0.5, (101, 60), (30, 30)), (1.0, (101, 60), (60, 60)), (0.001, (10, 10), (1, 1)), (1, (10, 10), (1, 1)),
    (256, (10, 10), (256, 256)), (256.0, (10, 10), (256, 256)), ((16, 64, 32), (1, 1, 1), (16, 64, 32)),
    (np.int64(8), (9, 9), (8, 8))])
def test_the_patchs_size_from_a_fraction_or_from_pixels(value, size, patch):
    assert patch_shape(value, size) == patch


@pytest.mark.parametrize("value", [0, 0.0, -1, 1.5, float("nan"), (16, 16), (0.5, 16, 16), True, "64", None, (8, 8, "8"),
                                   float("inf"), 1e300 + 0.5j])
def test_a_patchs_size_that_makes_no_sense_is_refused(value):
    with pytest.raises(ValueError, match="patch_ratio_vs_input"):
        patch_shape(value, (100, 100, 100))


@pytest.mark.parametrize(("size", "coverage", "most", "num"), [
    ((100, 100), 1.0, 1000, 100), ((100, 100), 0.5, 1000, 50), ((100, 100), 2.0, 7, 7), ((10, 10), 0.1, 5, 1),
    ((100, 109), 1.0, 1000, 109), ((10, 10), float("inf"), 5, 5)])
def test_the_number_of_random_patches(size, coverage, most, num):
    assert num_random_patches(size, (10, 10), max_patches_per_image=most, image_area_coverage_factor=coverage) == num


def test_random_patches_reach_all_places_and_no_other():
    rng = np.random.default_rng(0)
    drawn = {random_position(rng, (6, 5, 4), (4, 5, 2)) for _ in range(500)}
    assert drawn == set(itertools.product(range(3), range(1), range(3)))
