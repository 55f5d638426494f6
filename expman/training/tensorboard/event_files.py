"""Marks in TensorBoard's event files where a restarted training goes on."""

from __future__ import annotations

import time
from pathlib import Path

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog


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
