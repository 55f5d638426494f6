"""Windows over the rows of tables that arrive in pieces, and batches of these windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from data_pipelines.batches import batched, cached, prefetched
from data_pipelines.pass_seeds import seeded_passes

PIECE_BYTES = 1 << 22
"""Text parsed at a time: smaller pieces cost more calls, larger ones memory and the time to the first batch."""
_LEAST_PIECE_BYTES = 1 << 12


def piece_bytes_for(*, size: int, shift: int) -> int:
    """Text to parse at a time so that its windows, which repeat rows where they overlap, take no more memory than elsewhere."""
    return max(min(PIECE_BYTES, _LEAST_PIECE_BYTES), PIECE_BYTES * min(size, shift) // size)


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
    _, _, *parts = pieces.element_spec
    nothing = tuple(tf.fill([0, part.shape[1]], tf.constant("" if part.dtype == tf.string else 0, part.dtype)) for part in parts)
    state = (nothing, tf.constant(0), tf.constant(False))
    return pieces.scan(state, lambda state, piece: _next_windows(state, piece, size=size, shift=shift))


def _next_windows(state: tuple, piece: tuple, *, size: int, shift: int) -> tuple[tuple, tuple]:
    """Joins a piece to the rows left from the last one, cuts the full windows, and keeps the rows of those to come.

    The state is (rows left, number of rows to skip before the next window, whether the rest of the file is unreadable).
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
    if shift == size:  # nothing is repeated or skipped, and nothing need be copied
        groups = tuple(tf.reshape(part[:next_start], [num_windows, size, part.shape[1]]) for part in rows)
    else:
        places = tf.range(num_windows)[:, None] * shift + tf.range(size)
        groups = tuple(tf.gather(part, places) for part in rows)
    return (kept, num_to_skip, is_broken), groups


def window_batches(paths: Sequence[str], windows_of: Callable[[tf.Tensor], tf.data.Dataset], *,
                   per_sample: Callable[..., Any] | None, cache: bool | str | os.PathLike[str], batch_size: int,
                   shuffle_buffer: int, seed: int | None, drop_remainder: bool) -> tf.data.Dataset:
    """Batches of the windows of files.

    Arguments:
        paths: the files.
        windows_of: makes groups of windows from the paths, string `[files]`.
        per_sample: what is done to each window at last, or None.
        cache: where the windows are kept after the first pass; then the order of the files stays.
        batch_size: windows of a batch.
        shuffle_buffer: among how many windows the next is drawn, of files in an order that is new in each pass; 0: no shuffle.
        seed: of the shuffles.
        drop_remainder: whether a last batch with fewer windows is left out.
    """
    files = tf.constant([os.fsencode(path) for path in paths])

    def shuffled(pass_seed: tf.Tensor) -> tf.data.Dataset:
        of_pass = windows_of(tf.random.experimental.stateless_shuffle(files, seed=[pass_seed, 0]))
        return of_pass.unbatch().shuffle(shuffle_buffer, seed=pass_seed)

    if shuffle_buffer and cache is False:
        samples = seeded_passes(shuffled, seed=seed)
    else:
        groups = cached(windows_of(files), cache)
        if not shuffle_buffer and per_sample is None:  # joining and cutting groups costs nothing per sample
            return prefetched(groups.rebatch(batch_size, drop_remainder=drop_remainder))
        samples = groups.unbatch()
        if shuffle_buffer:
            samples = samples.shuffle(shuffle_buffer, seed=seed)
    if per_sample is not None:
        samples = samples.map(per_sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batched(samples, batch_size=batch_size, drop_remainder=drop_remainder)
