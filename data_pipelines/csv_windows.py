"""Windows over the rows of tables that arrive in pieces, and batches of these windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from data_pipelines.batches import batched, cached
from data_pipelines.pass_seeds import seeded_passes

GROUP_BYTES = 1 << 24
"""Windows that overlap a lot take many times the memory of their rows; this much is made at a time."""


def windows_of_rows(pieces: tf.data.Dataset, *, size: int, shift: int) -> tf.data.Dataset:
    """Cuts windows of rows; none crosses two files, and rows at the end of a file that fill no window are left out.

    Arguments:
        pieces: (starts a file: bool, is readable: bool, features `[rows, n]`, labels `[rows, m]`). After a piece that is not
            readable, nothing more of its file comes out.
        size: rows of a window.
        shift: rows from the start of a window to the start of the next; above `size`, rows between them are skipped.

    Returns:
        Groups of windows: features `[windows, size, n]` and labels `[windows, size, m]`.
    """
    _, _, features, labels = pieces.element_spec
    nothing = tuple(tf.zeros([0, part.shape[1]], part.dtype) if part.dtype != tf.string
                    else tf.fill([0, part.shape[1]], "") for part in (features, labels))
    state = (nothing, tf.constant(0), tf.constant(False))
    rows = pieces.scan(state, lambda state, piece: _next_rows(state, piece, size=size, shift=shift))
    bytes_per_window = 4 * size * (features.shape[1] + labels.shape[1])
    per_group = max(1, GROUP_BYTES // bytes_per_window)

    def windows(num_windows: tf.Tensor, rows: tuple[tf.Tensor, tf.Tensor]) -> tf.data.Dataset:
        def group(first: tf.Tensor) -> tuple[tf.Tensor, ...]:
            starts = tf.range(first, tf.minimum(first + per_group, num_windows)) * shift
            return tuple(tf.gather(part, starts[:, None] + tf.range(size)) for part in rows)

        return tf.data.Dataset.range(0, tf.cast(num_windows, tf.int64), per_group, output_type=tf.int32).map(group)

    return rows.flat_map(windows)


def _next_rows(state: tuple, piece: tuple, *, size: int, shift: int) -> tuple[tuple, tuple]:
    """Joins a piece to the rows left from the last one, and keeps what belongs to windows that are not full yet.

    The state is (left rows, number of rows to skip before the next window, whether the rest of the file is unreadable); the
    output is (number of full windows, their rows).
    """
    left, num_to_skip, is_broken = state
    starts_file, is_readable, *new = piece
    is_broken = tf.logical_or(tf.logical_and(is_broken, tf.logical_not(starts_file)), tf.logical_not(is_readable))
    num_left = tf.where(starts_file, 0, tf.shape(left[0])[0])
    num_new = tf.where(is_broken, 0, tf.shape(new[0])[0])
    num_to_skip = tf.where(starts_file, 0, num_to_skip)
    num_skipped = tf.minimum(num_to_skip, num_left + num_new)
    rows = tuple(tf.concat([old[:num_left], part[:num_new]], axis=0)[num_skipped:] for old, part in zip(left, new))
    num_rows = num_left + num_new - num_skipped
    num_windows = tf.maximum(0, (num_rows - size) // shift + 1)
    next_start = num_windows * shift
    kept = tuple(part[next_start:] for part in rows)
    num_to_skip = num_to_skip - num_skipped + tf.maximum(0, next_start - num_rows)
    return (kept, num_to_skip, is_broken), (num_windows, rows)


def window_batches(paths: Sequence[str], windows_of: Callable[[tf.data.Dataset], tf.data.Dataset], *,
                   per_sample: Callable[..., Any] | None, cache: bool | str | os.PathLike[str], batch_size: int,
                   shuffle_buffer: int, seed: int | None, drop_remainder: bool) -> tf.data.Dataset:
    """Batches of the windows of files.

    Arguments:
        paths: the files.
        windows_of: makes groups of windows from a dataset of paths.
        per_sample: what is done to each window at last, or None.
        cache: where the windows are kept after the first pass; then the order of the files stays.
        batch_size: windows of a batch.
        shuffle_buffer: among how many windows the next is drawn, of files in an order that is new in each pass; 0: no shuffle.
        seed: of the shuffles.
        drop_remainder: whether a last batch with fewer windows is left out.
    """
    files = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    groups = cached(windows_of(files), cache)

    def shuffled(pass_seed: tf.Tensor) -> tf.data.Dataset:
        of_pass = groups if cache is not False else windows_of(files.shuffle(len(paths), seed=pass_seed))
        return of_pass.unbatch().shuffle(shuffle_buffer, seed=pass_seed)

    if shuffle_buffer:
        samples = seeded_passes(shuffled, seed=seed)
    elif per_sample is not None:
        samples = groups.unbatch()
    else:  # joining and cutting groups costs nothing per sample
        return groups.rebatch(batch_size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)
    if per_sample is not None:
        samples = samples.map(per_sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batched(samples, batch_size=batch_size, drop_remainder=drop_remainder)
