"""Patches of volumes. The values tell where they are in which volume, so that each patch can be found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.patches.positions import assemble_patches, grid_patches
from data_pipelines.patches.volume_reading import read_volume
from data_pipelines.patches.volumes import FileListProcessor_volumes as volumes

SIZES = [(13, 21, 18), (9, 16, 33)]


def located(index, size):
    """uint16 `[depth, height, width, 4]`: slice, row, column, number of the volume."""
    return np.stack([*np.indices(size), np.full(size, index)], -1).astype(np.uint16)


def class_at(raw):
    """The label that belongs to a voxel of `located`."""
    depth, row, column, index = np.moveaxis(np.asarray(raw).astype(int), -1, 0)
    return (depth * 3 + row * 7 + column * 13 + index * 50) % 251


def write_slices(folder, volume):
    folder.mkdir()
    for number, image in enumerate(volume):
        order = [2, 1, 0, 3] if image.shape[-1] == 4 else [0]
        (folder / f"slice {number}.png").write_bytes(cv2.imencode(".png", image[..., order])[1].tobytes())


def write_pairs(folder, kind):
    """Files or folders of raw data, those of labels or None, and the options that they need."""
    raw_files, reference_files = [], []
    for index, size in enumerate(SIZES):
        raw = located(index, size)
        labels = class_at(raw).astype(np.uint8)
        raw_files.append(folder / (f"rå {index}" + {"npy": ".npy", "npz": ".npz", "channels": ".npy"}.get(kind, "")))
        reference_files.append(folder / (f"labels {index}" + (".npy" if kind == "npy" else "")))
        if kind == "npy":
            np.save(raw_files[-1], raw)
            np.save(reference_files[-1], labels)
        elif kind == "npz":
            np.savez_compressed(raw_files[-1], scan=raw, organs=labels)
        elif kind == "channels":
            np.save(raw_files[-1], np.concatenate([raw, labels[..., None]], -1))
        else:
            write_slices(raw_files[-1], raw)
            write_slices(reference_files[-1], labels[..., None])
    options = {"npz": {"raw_key": "scan", "labels_key": "organs"}, "channels": {"num_label_channels": 1}}.get(kind, {})
    return raw_files, reference_files if kind in ("npy", "slices") else None, options


def all_patches(dataset):
    batches = [(raw.numpy(), labels.numpy()) for raw, labels in dataset]
    return np.concatenate([raw for raw, _ in batches]), np.concatenate([labels for _, labels in batches])


@pytest.mark.parametrize("kind", ["npy", "npz", "channels", "slices"])
def test_the_grid_covers_each_volume_in_order_whatever_it_is_stored_in(tmp_path, kind):
    raw_files, reference_files, options = write_pairs(tmp_path, kind)
    dataset = volumes(raw_files, reference_files, **options, batch_size=3, shuffle_samples=False,
                      patch_ratio_vs_input=(5, 8, 7), field_of_view=3)
    assert dataset.element_spec == (tf.TensorSpec([None, 5, 8, 7, 4], tf.float32), tf.TensorSpec([None, 5, 8, 7], tf.int32))
    raw, labels = all_patches(dataset)
    grids = [grid_patches(located(index, size), (5, 8, 7), field_of_view=3) for index, size in enumerate(SIZES)]
    np.testing.assert_array_equal(raw, np.concatenate(grids))
    np.testing.assert_array_equal(labels, class_at(raw))
    np.testing.assert_array_equal(assemble_patches(raw[:len(grids[0])], SIZES[0], field_of_view=3), located(0, SIZES[0]))


@pytest.mark.parametrize("kind", ["npy", "npz", "channels", "slices"])
def test_random_patches_are_changed_together_with_their_labels(tmp_path, kind):
    raw_files, reference_files, options = write_pairs(tmp_path, kind)
    dataset = volumes(raw_files, reference_files, **options, batch_size=3, shuffle_samples=True, patch_ratio_vs_input=6,
                      max_patches_per_image=60, image_area_coverage_factor=1000., seed=1, apply_random_flip_left_right=True,
                      apply_random_flip_up_down=True, apply_random_flip_depth=True, apply_random_rotate_90=True,
                      apply_random_rotate_90_depth=True)
    raw, labels = all_patches(dataset)
    assert len(raw) == 120
    np.testing.assert_array_equal(labels, class_at(raw))
    for patch in raw:
        depths, rows, columns, indices = (np.unique(patch[..., band]) for band in range(4))
        assert len(indices) == 1
        for values in (depths, rows, columns):
            np.testing.assert_array_equal(values, values[0] + np.arange(6))
    directions = {tuple((patch[1, 1, 1] - patch[0, 0, 0])[:3].astype(int)) for patch in raw}
    turned = {tuple(np.flatnonzero(patch[1, 0, 0] - patch[0, 0, 0])) for patch in raw}
    assert len(directions) == 8 and turned == {(0,), (1,), (2,)}


def test_the_seed_decides_all_draws_and_unused_iterators_count_as_passes(tmp_path):
    raw_files, reference_files, _ = write_pairs(tmp_path, "npy")
    options = {"batch_size": 3, "shuffle_samples": True, "patch_ratio_vs_input": 6, "seed": 4}
    dataset = volumes(raw_files, reference_files, **options)
    passes = [all_patches(dataset)[0] for _ in range(3)]
    assert not np.array_equal(passes[0], passes[1])
    again = volumes(raw_files, reference_files, **options)
    for _ in range(2):
        iter(again)
    np.testing.assert_array_equal(all_patches(again)[0], passes[2])


def test_big_volumes_come_in_parts_and_only_their_patches_are_read(tmp_path, monkeypatch):
    volume = np.random.default_rng(0).integers(0, 2**16, (20, 30, 25)).astype(np.uint16)
    np.save(tmp_path / "a.npy", volume)
    assert isinstance(read_volume(str(tmp_path / "a.npy")), np.memmap)
    monkeypatch.setattr("data_pipelines.patches.cutting._MOST_BYTES_AT_ONCE", 4 * 8**3 * 5)
    options = {"batch_size": 4, "shuffle_samples": False, "patch_ratio_vs_input": 8}
    sizes = []
    dataset = volumes([tmp_path / "a.npy"], **options, additional_filters=[lambda raw, labels: sizes.append(raw.size) or True])
    raw, labels = all_patches(dataset)
    np.testing.assert_array_equal(raw, grid_patches(volume, (8, 8, 8))[..., None])
    np.testing.assert_array_equal(labels, raw)
    assert sizes == [8**3] * len(raw)


def test_slices_are_sorted_by_number_and_chosen_by_pattern(tmp_path):
    volume = located(0, (12, 4, 5))[..., :1]
    write_slices(tmp_path / "a", volume)
    (tmp_path / "a" / "notes.txt").write_text("no slice", encoding="utf-8")
    (tmp_path / "a" / ".hidden.png").write_text("no slice", encoding="utf-8")
    np.testing.assert_array_equal(read_volume(str(tmp_path / "a"), slices_pattern="*.png"), volume)
    with pytest.raises(ValueError, match="the slice notes.txt: OpenCV cannot decode"):
        read_volume(str(tmp_path / "a"))


@pytest.mark.parametrize("dtype", [np.uint8, ">u2", np.int32, np.float32, np.float64, np.bool_])
def test_values_of_all_types_arrive_as_float32(tmp_path, dtype):
    volume = (np.random.default_rng(0).random([6, 6, 6, 2]) * 100).astype(dtype)
    np.save(tmp_path / "a.npy", volume)
    for shuffle in (False, True):
        raw, _ = all_patches(volumes([tmp_path / "a.npy"], batch_size=1, shuffle_samples=shuffle, patch_ratio_vs_input=1.0))
        assert raw.dtype == np.float32
        np.testing.assert_array_equal(raw[0], volume.astype(np.float32))


def test_filters_and_nan_work_in_three_dimensions(tmp_path):
    _raw_files, _, _ = write_pairs(tmp_path, "npy")
    volume = np.zeros([8, 8, 8], np.float32)
    volume[4:, :4, :4] = 3
    volume[0, 0, 0] = np.nan
    labels = np.zeros([8, 8, 8], np.uint8)
    labels[:, 4:, 2:] = 1
    np.save(tmp_path / "a.npy", volume)
    np.save(tmp_path / "b.npy", labels)
    options = {"batch_size": 8, "shuffle_samples": False, "patch_ratio_vs_input": 4}
    files = [tmp_path / "a.npy"], [tmp_path / "b.npy"]
    assert len(all_patches(volumes(*files, **options, manage_nan_values="avoid"))[0]) == 7
    assert np.isnan(all_patches(volumes(*files, **options))[0]).sum() == 1
    assert all_patches(volumes(*files, **options, manage_nan_values="zeros"))[0].sum() == 3 * 64
    assert len(all_patches(volumes(*files, **options, classes_entropy_threshold=0.5))[0]) == 2
    kept = volumes(*files, **options, additional_filters=[lambda raw, labels: raw.mean() > 2])
    assert len(all_patches(kept)[0]) == 1


def test_several_label_channels_and_the_users_function(tmp_path):
    np.save(tmp_path / "a.npy", located(3, (6, 6, 6)))
    dataset = volumes([tmp_path / "a.npy"], batch_size=1, shuffle_samples=False, patch_ratio_vs_input=6, num_label_channels=2,
                      crops_postprocess=lambda raw, labels: (raw + 1, labels[..., 1]))
    raw, labels = all_patches(dataset)
    np.testing.assert_array_equal(raw[0], located(3, (6, 6, 6))[..., :2] + 1.0)
    assert (labels == 3).all() and labels.shape == (1, 6, 6, 6)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_damaged_files_are_named_or_skipped(tmp_path, content):
    raw_files, reference_files, _ = write_pairs(tmp_path, "npy")
    whole = raw_files[1].read_bytes()
    raw_files[1].write_bytes(whole[:len(whole) // 2] if content is None else content)
    options = {"batch_size": 3, "shuffle_samples": True, "patch_ratio_vs_input": 6}
    with pytest.raises(tf.errors.InvalidArgumentError, match="rå 1.npy"):
        list(volumes(raw_files, reference_files, **options))
    raw, _ = all_patches(volumes(raw_files, reference_files, **options, on_unreadable_file="skip"))
    assert set(raw[..., 3].ravel()) == {0}


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 no archive"])
def test_damaged_archives_are_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="a.npz"):
        volumes([tmp_path / "a.npz"], batch_size=3, shuffle_samples=True)


def test_misfits_are_named(tmp_path):
    raw_files, _, _ = write_pairs(tmp_path, "npz")
    options = {"batch_size": 3, "shuffle_samples": True, "patch_ratio_vs_input": 6}
    with pytest.raises(ValueError, match=r"rå 0.npz: choose one of its arrays \['scan', 'organs'\] by raw_key.*Got None"):
        volumes(raw_files, **options)
    with pytest.raises(ValueError, match="Got 'organ'"):
        volumes(raw_files, raw_key="scan", labels_key="organ", **options)
    with pytest.raises(ValueError, match="two sources of labels"):
        volumes(raw_files, raw_key="scan", labels_key="organs", num_label_channels=1, **options)
    np.save(tmp_path / "flat.npy", np.zeros([6, 6]))
    with pytest.raises(ValueError, match=r"flat.npy: a volume must be .* Its shape is \[6, 6\]"):
        volumes([tmp_path / "flat.npy"], **options)
    np.save(tmp_path / "small.npy", np.zeros([5, 6, 7]))
    with pytest.raises(ValueError, match="small.npy: its size 5 × 6 × 7 is smaller than the patch 6 × 6 × 6"):
        volumes([tmp_path / "small.npy"], **options)
    np.save(tmp_path / "complex.npy", np.zeros([6, 6, 7], complex))
    with pytest.raises(ValueError, match="complex.npy: its values must be numbers"):
        volumes([tmp_path / "complex.npy"], **options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no file in the folder fits"):
        volumes([tmp_path / "empty"], **options)
    write_slices(tmp_path / "slices", located(0, (3, 6, 6))[..., :1])
    (tmp_path / "slices" / "slice 3.png").write_bytes(cv2.imencode(".png", np.zeros([6, 7], np.uint16))[1].tobytes())
    with pytest.raises(ValueError, match=r"the slice slice 3.png is \[6, 7, 1\] uint16, where slice 0.png is \[6, 6, 1\]"):
        volumes([tmp_path / "slices"], **options)
    with pytest.raises(ValueError, match="raw_files: files must be a list"):
        volumes(str(raw_files[0]), **options)
    with pytest.raises(ValueError, match="must have one length for each of the 3 axes"):
        volumes(raw_files, raw_key="scan", **{**options, "patch_ratio_vs_input": (4, 4)})
