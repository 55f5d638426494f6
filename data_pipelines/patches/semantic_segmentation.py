"""Images and label maps, in patches, for semantic segmentation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from data_pipelines.images.opening import ImageOpener
from data_pipelines.patches.labelled_files import LabelledFiles
from data_pipelines.patches.options import PatchOptions
from data_pipelines.patches.pipeline import patch_dataset


def FileListProcessor_Semantic_Segmentation(raw_files: Iterable[str | os.PathLike[str]],  # noqa: N802
                                            reference_files: Iterable[str | os.PathLike[str]] | None = None, *,
                                            pair_by: str = "name", reader: str = "opencv",
                                            **options: Any) -> tf.data.Dataset:
    """Patches of images with their labels: random ones for training, a grid that covers all of each image for evaluation.

        FileListProcessor_Semantic_Segmentation(
            extractFilenames(folder, "*_photo.jpg"), extractFilenames(folder, "*_labels.png"), batch_size=8,
            shuffle_samples=True, patch_ratio_vs_input=256, apply_random_flip_left_right=True, apply_random_brightness=0.1)

    Arguments:
        raw_files: images of 8 or 16 bits or floating-point numbers with any number of bands, all of one type.
        reference_files: label maps of one band, of the same names or in the same order, and of the same sizes; of palette images
            the numbers of the colours are the labels. None: the labels are the last `num_label_channels` bands of the raw
            files, or there are none.
        pair_by: 'name': the files belong together by what tells their names apart (see `paired_references`), where names tell
            nothing by their order, with a warning; 'order': by the order alone.
        reader: 'opencv', or 'rasterio' for georeferenced and many-band images; of TIFF and VRT files it reads only the
            patches, unless they are cached.
        options: those of `PatchOptions`, among them the required `batch_size` and `shuffle_samples`.

    Returns:
        Pairs (features, labels) of raw patches float32 `[batch, height, width, bands]` in the range of the files, and classes
        int32 `[batch, height, width]`, or `[batch, height, width, channels]` for several label channels; without labels, twice
        the raw patches, as an auto-encoder needs; or what `crops_postprocess` makes of these pairs.

    Raises:
        ValueError: an argument is wrong or does not fit to the files.
        FileNotFoundError: files do not exist.
        ImportError: the reader is not installed.
        tf.errors.InvalidArgumentError: (in a pass) a file cannot be read, is smaller than the patch or does not fit to its
            reference; or no patch at all was left.
    """
    chosen = PatchOptions(**options)
    opener = ImageOpener(reader=reader, whole=chosen.cache is not False)
    files = LabelledFiles(raw_files, reference_files, num_label_channels=chosen.num_label_channels, pair_by=pair_by,
                          open_raw=opener, open_reference=replace(opener, palette="indices"), cache=chosen.cache)
    return patch_dataset(files, chosen, num_axes=2)
