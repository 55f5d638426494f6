"""The options that the pipelines of patches share, whether of images or of volumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from data_pipelines.augmentation import Augmentation
from data_pipelines.checks import at_least, one_of, whole_number
from data_pipelines.patches.filters import PatchFilter, PatchFilters
from data_pipelines.unreadable_files import POLICIES

_SHUFFLED_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """The options by which patches are chosen, changed and batched.

    Arguments:
        batch_size: patches in a batch.
        shuffle_samples: True, for training: random patches; they and the files come in an order that is new in each pass.
            False, for evaluation: the grid of patches that covers each file (see `grid_positions`), in the order of the files.
        patch_ratio_vs_input: the patch's size: a float of at most 1.0: that fraction of the smallest side of the first file
            that can be read, along all axes; a number of pixels along all axes; or a tuple of pixels, one for each axis.
        max_patches_per_image: of random patches.
        image_area_coverage_factor: how often a file's random patches would cover its area, where the maximum does not make
            them fewer; a file always gives at least one.
        field_of_view: of the network, in pixels: patches of the grid overlap so that each pixel is in one with half of it
            around, where the file goes on so far. 0 or 1: they do not overlap.
        num_label_channels: how many of the last bands of the raw files are labels; 0: labels lie elsewhere or nowhere.
        classes_entropy_threshold, manage_nan_values, additional_filters: which patches are dropped, in training and in
            evaluation; see `PatchFilters`. A random patch that is dropped is drawn again, 10 times in all; then the file gives
            one less.
        apply_random_flip_left_right, apply_random_flip_up_down, apply_random_flip_depth, apply_random_rotate_90,
            apply_random_rotate_90_depth: changes of raw data and labels alike, see `Augmentation`; those of depth are for
            volumes. Random patches are changed, those of the grid never.
        apply_random_brightness, apply_random_contrast, apply_random_saturation, value_range: changes of the raw data of random
            patches.
        apply_whitening: makes the mean of each patch 0 and its standard deviation 1, over all bands together; the deviation
            counts as at least 1/√n for n values, as in `tf.image.per_image_standardization`.
        crops_postprocess: a TensorFlow function of the tensors (raw, labels) of a batch; the dataset yields what it returns.
        cache: keeps decoded files: True: in memory; a path: in that folder, as memory-mapped files.
        shuffle_buffer: how many successive random patches are shuffled among each other; None: 8 batches; 0: none.
        seed: of all random draws; None: derived from `tf.random.set_seed`.
        drop_remainder: whether a last incomplete batch is left out.
        on_unreadable_file: 'raise', or 'skip' with a warning that counts: for files that cannot be read, do not fit to their
            reference or to the first file, or are smaller than the patch.

    Raises:
        ValueError: an argument is out of its range.
    """

    batch_size: int
    shuffle_samples: bool
    patch_ratio_vs_input: float | Sequence[int] = 0.5
    max_patches_per_image: int = 10
    image_area_coverage_factor: float = 2.0
    field_of_view: int = 0
    num_label_channels: int = 0
    classes_entropy_threshold: float | None = None
    manage_nan_values: str | None = None
    additional_filters: Sequence[PatchFilter] = ()
    apply_random_flip_left_right: bool = False
    apply_random_flip_up_down: bool = False
    apply_random_flip_depth: bool = False
    apply_random_rotate_90: bool = False
    apply_random_rotate_90_depth: bool = False
    apply_random_brightness: float | None = None
    apply_random_contrast: float | None = None
    apply_random_saturation: float | None = None
    value_range: float | None = None
    apply_whitening: bool = False
    crops_postprocess: Callable[[tf.Tensor, tf.Tensor], Any] | None = None
    cache: bool | str | os.PathLike[str] = False
    shuffle_buffer: int | None = None
    seed: int | None = None
    drop_remainder: bool = False
    on_unreadable_file: str = "raise"
    filters: PatchFilters = field(init=False)
    augmentation: Augmentation = field(init=False)

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("max_patches_per_image", 1), ("num_label_channels", 0)):
            whole_number(name, getattr(self, name), least)
        if self.shuffle_buffer is not None:
            whole_number("shuffle_buffer", self.shuffle_buffer, 0)
        at_least("image_area_coverage_factor", self.image_area_coverage_factor, 0)
        one_of("on_unreadable_file", self.on_unreadable_file, POLICIES)
        if self.crops_postprocess is not None and not callable(self.crops_postprocess):
            raise ValueError(f"crops_postprocess must be a function of (raw, labels). Got {self.crops_postprocess!r}.")
        object.__setattr__(self, "filters", self._filters())
        object.__setattr__(self, "augmentation", self._augmentation())

    @property
    def num_shuffled(self) -> int:
        """The number of patches that are shuffled among each other."""
        if not self.shuffle_samples:
            return 0
        return _SHUFFLED_BATCHES * self.batch_size if self.shuffle_buffer is None else self.shuffle_buffer

    def _filters(self) -> PatchFilters:
        return PatchFilters(classes_entropy_threshold=self.classes_entropy_threshold, manage_nan_values=self.manage_nan_values,
                            additional_filters=self.additional_filters)

    def _augmentation(self) -> Augmentation:
        """Returns the augmentation that is asked for; in evaluation none."""
        asked = Augmentation(
            flip_left_right=self.apply_random_flip_left_right, flip_up_down=self.apply_random_flip_up_down,
            flip_depth=self.apply_random_flip_depth, rotate_90=self.apply_random_rotate_90,
            rotate_90_depth=self.apply_random_rotate_90_depth, brightness=self.apply_random_brightness,
            contrast=self.apply_random_contrast, saturation=self.apply_random_saturation, value_range=self.value_range)
        return asked if self.shuffle_samples else Augmentation()
