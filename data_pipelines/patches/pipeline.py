"""From a cutter of patches to a dataset of batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.batches import prefetched
from data_pipelines.pass_seeds import with_seeds
from data_pipelines.patches.cutting import PatchCutter
from data_pipelines.patches.label_notices import warn_of_doubtful_labels, warn_of_other_orientations
from data_pipelines.patches.labelled_files import LabelledFiles
from data_pipelines.patches.options import PatchOptions


def patch_dataset(files: LabelledFiles, options: PatchOptions, *, num_axes: int) -> tf.data.Dataset:
    """Patches of files in batches, as their raw data and labels.

    Arguments:
        files: where raw data and labels are.
        options: how patches are chosen, changed and batched.
        num_axes: 2 for images, 3 for volumes.

    Returns:
        Pairs of raw data float32 `[batch, *patch, bands]` and labels int32 `[batch, *patch]` or `[batch, *patch, channels]`;
        without labels, twice the raw data; or what `crops_postprocess` makes of these pairs.

    Raises:
        ValueError: an option does not fit to the data, or no file can be read.
    """
    warn_of_other_orientations(files)
    cutter = PatchCutter(files, options, num_axes=num_axes)
    if cutter.layout.label_shape is not None:
        warn_of_doubtful_labels(files, cutter.layout.patch, are_changed=options.crops_postprocess is not None)
    patches = never_empty(_patches_of_parts(cutter, options),
                          message=f"all patches of all {len(files)} files were dropped by classes_entropy_threshold, "
                                  "manage_nan_values or additional_filters, or their files were skipped. Relax them.")
    if options.num_shuffled:
        patches = shuffled_by_windows(patches, window_size=options.num_shuffled, seed=options.seed)
    batches = patches.rebatch(options.batch_size, drop_remainder=options.drop_remainder)

    def finished(raw: tf.Tensor, *labels: tf.Tensor) -> Any:
        raw = tf.cast(raw, tf.float32)
        if options.apply_whitening:
            raw = whitened(raw)
        pair = (raw, tf.cast(labels[0], tf.int32) if labels else raw)
        return pair if options.crops_postprocess is None else options.crops_postprocess(*pair)

    return prefetched(batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


def whitened(patches: tf.Tensor) -> tf.Tensor:
    """Patches `[batch, …]` less their means, over their standard deviations, which count as at least 1/√n for n values."""
    axes = list(range(1, patches.shape.rank))
    num_values = tf.cast(tf.reduce_prod(tf.shape(patches)[1:]), patches.dtype)
    centred = patches - tf.reduce_mean(patches, axes, keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True))
    return centred / tf.maximum(deviation, tf.math.rsqrt(num_values))


def never_empty(dataset: tf.data.Dataset, *, message: str) -> tf.data.Dataset:
    """Fails at the end of a pass whose elements, tuples of tensors `[n, …]`, had all n = 0."""
    empty = tf.data.Dataset.from_tensors(tuple(tf.zeros([0, *spec.shape[1:]], spec.dtype) for spec in dataset.element_spec))
    before_end = tf.data.Dataset.zip(tf.data.Dataset.from_tensors(False).repeat(), dataset)
    marked = before_end.concatenate(tf.data.Dataset.zip(tf.data.Dataset.from_tensors(True), empty))

    def counted(total: tf.Tensor, marked_element: tuple[tf.Tensor, tuple[tf.Tensor, ...]]) -> tuple[tf.Tensor, Any]:
        is_end, element = marked_element
        total += tf.shape(element[0], tf.int64)[0]
        with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(is_end) | (total > 0), [message])]):
            return tf.identity(total), element

    return marked.scan(np.int64(0), counted)


def shuffled_by_windows(dataset: tf.data.Dataset, *, window_size: int, seed: int | None = None) -> tf.data.Dataset:
    """Shuffles the rows of elements, tuples of tensors `[n, …]`, in windows of so many rows, anew in each pass.

    `Dataset.shuffle` would not do: it creates the iterator of its input when its own first element is asked for, so that
    skipped passes would not draw the seeds of the files and patches.
    """
    def shuffled(rows: tuple[tf.Tensor, ...], window_seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(rows[0])[0]), tf.stack([window_seed, 0]))
        return tuple(tf.gather(tensor, order) for tensor in rows)

    windows = with_seeds(dataset.rebatch(window_size), seed=seed)
    return windows.map(shuffled, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(1)


def _patches_of_parts(cutter: PatchCutter, options: PatchOptions) -> tf.data.Dataset:
    """Returns a dataset with the patches of a part in one element."""
    parts = cutter.parts()
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    if options.shuffle_samples:
        dataset = with_seeds(dataset.shuffle(len(parts), seed=options.seed, reshuffle_each_iteration=True), seed=options.seed)
    else:
        dataset = dataset.map(lambda part: (part, np.int64(0)))  # nothing is random
    layout = cutter.layout
    shapes = [[None, *layout.patch, layout.num_bands]] + ([[None, *layout.label_shape]] if layout.label_shape else [])
    dtypes = [tf.as_dtype(dtype) for dtype in cutter.dtypes[:len(shapes)]]

    def cut(part: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        patches = tf.numpy_function(cutter, [part[0], part[1], part[2], seed], dtypes, stateful=False)
        return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(patches, shapes, strict=True))

    return dataset.map(cut, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
