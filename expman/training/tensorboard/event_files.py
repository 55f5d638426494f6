"""Writes what TensorBoard reads: tensors as the kinds of summaries that it draws, and where a restarted training goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.histogram.summary import histogram_pb

_MAX_IMAGES = 8


def write_weight_histograms(weights: Iterable[keras.Variable]) -> None:
    """A histogram of each weight, `weights/<its path>`."""
    for weight in weights:
        # Computed by NumPy: TensorFlow's op makes a dozen small ones of it, or a graph of them that takes long to trace.
        summary = histogram_pb(f"weights/{weight.path}", weight.numpy())
        tf.summary.experimental.write_raw_pb(summary.SerializeToString())


def write_by_rank(tensors: Mapping[str, Any]) -> None:
    """Tensors of rank 4 as images, of rank 0 as scalars, the rest as histograms; a tag each."""
    for tag, tensor in tensors.items():
        if tensor.shape.rank == 4:
            tf.summary.image(tag, tensor, max_outputs=_MAX_IMAGES)
        elif tensor.shape.rank == 0:
            tf.summary.scalar(tag, tensor)
        else:
            tf.summary.histogram(tag, tensor)


def mark_restart(folder: Path, *, first_step: int) -> None:
    """Tells TensorBoard to drop the points that the interrupted training wrote from `first_step` on.

    The restarted training writes them anew; without the mark the curve would run back and forth. TensorBoard reads the files
    of a folder in the order of their names: '+' sorts before any host name, and so the mark before the new file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{int(now)}.+restart-at-{first_step}")) as file:
        file.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        start = Event(wall_time=now, step=first_step, session_log=SessionLog(status=SessionLog.START))
        for _ in range(2):  # TensorBoard takes the first start that it meets for the beginning, the second for a restart
            file.write(start.SerializeToString())
