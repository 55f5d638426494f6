"""Volumes and their labels, in patches."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.filenames import other_spellings
from data_pipelines.images.reading import check_reader
from data_pipelines.patches.labelled_files import LabelledFiles
from data_pipelines.patches.options import PatchOptions
from data_pipelines.patches.pipeline import patch_dataset
from data_pipelines.patches.volume_reading import read_volume

_LOG = logging.getLogger(__name__)


def FileListProcessor_volumes(raw_files: Iterable[str | os.PathLike[str]],  # noqa: N802
                              reference_files: Iterable[str | os.PathLike[str]] | None = None, *, raw_key: str | None = None,
                              labels_key: str | None = None, slices_pattern: str | Sequence[str] = "*",
                              pair_by: str = "name", reader: str = "opencv", **options: Any) -> tf.data.Dataset:
    """Patches of volumes with their labels: random ones for training, a grid that covers all of each volume for evaluation.

        FileListProcessor_volumes(extractFilenames(folder, "*.npz"), raw_key="scan", labels_key="organs", batch_size=2,
                                  shuffle_samples=True, patch_ratio_vs_input=(16, 64, 64))

    Arguments:
        raw_files: `.npy` files (memory-mapped: only the patches are read), `.npz` files, or folders of slices, each
            `[depth, height, width]` or `[depth, height, width, channels]`; see `read_volume`.
        reference_files: volumes of labels with one channel, of the same names or in the same order, and of the same sizes; None:
            the labels are the array `labels_key` of the raw files, or their last `num_label_channels` channels, or there are none.
        raw_key: the raw data's name in `.npz` files; may be left out where they hold one array only.
        labels_key: the labels' name in the reference files or, without these, in the raw files.
        slices_pattern: which files of a folder are slices, as shell wildcards; a list gives several.
        pair_by: as for `FileListProcessor_Semantic_Segmentation`.
        reader: of slices: 'opencv' or 'rasterio'.
        options: those of `PatchOptions`, among them the required `batch_size` and `shuffle_samples`; what these call an image
            is a volume here.

    Returns:
        Pairs (features, labels) of raw patches float32 `[batch, depth, height, width, channels]` in the range of the files,
        and classes int32 `[batch, depth, height, width]`, with an axis more for several label channels; without labels, twice
        the raw patches; or what `crops_postprocess` makes of these pairs.

    Raises:
        ValueError: an argument is wrong or does not fit to the files.
        FileNotFoundError: files do not exist.
        ImportError: the reader is not installed.
        tf.errors.InvalidArgumentError: (in a pass) a file cannot be read, is smaller than the patch or does not fit to its
            reference; or no patch at all was left.
    """
    chosen = PatchOptions(**options)
    raw_files = raw_files if isinstance(raw_files, (str, os.PathLike)) else list(raw_files)
    if reference_files is None and labels_key is not None:
        reference_files = raw_files
    files = LabelledFiles(raw_files, reference_files, num_label_channels=chosen.num_label_channels, pair_by=pair_by,
                          cache=chosen.cache,
                          open_raw=VolumeOpener(raw_key, slices_pattern=slices_pattern, reader=reader),
                          open_reference=VolumeOpener(labels_key, slices_pattern=slices_pattern, reader=reader,
                                                      palette="indices"))
    _warn_of_slices_left_out([*files.paths, *(files.references or ())], slices_pattern)
    return patch_dataset(files, chosen, num_axes=3)


def _warn_of_slices_left_out(volumes: Iterable[str], slices_pattern: str | Sequence[str]) -> None:
    for folder in filter(os.path.isdir, volumes):
        notice = other_spellings(os.listdir(folder), slices_pattern)
        if notice:
            _LOG.warning("%s: %s", folder, notice)


@dataclass(frozen=True)
class VolumeOpener:
    """Opens volumes; see `read_volume`."""

    key: str | None
    slices_pattern: str | Sequence[str]
    reader: str
    palette: str = "colours"

    def __post_init__(self) -> None:
        check_reader(self.reader)

    def __call__(self, path: str) -> np.ndarray:
        """`[depth, height, width, channels]`; raises ValueError or OSError when it cannot be read."""
        return read_volume(path, key=self.key, slices_pattern=self.slices_pattern, reader=self.reader,
                           palette=self.palette)

    def reads_windows(self, path: str) -> bool:
        """Tells whether a file is memory-mapped."""
        return path.endswith(".npy")
