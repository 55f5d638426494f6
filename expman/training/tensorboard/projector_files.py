"""Writes the folder that TensorBoard's Projector reads: tensors, labels, thumbnails and their description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from expman.records.experiment_folder import write_atomically
from expman.training.tensorboard.projector_points import ProjectorPoints

_CONFIG_NAME = "projector_config.pbtxt"  # fixed by TensorBoard
_METADATA_NAME = "metadata.tsv"
_SPRITE_NAME = "sprite.png"
_LARGEST_SPRITE_PIXELS = 8192  # the page refuses wider or higher images
_CRISP_PIXELS = 32  # the page draws smaller thumbnails blurred into their neighbours
_SMALLEST_COLUMNS = 3
# The page puts tensor names into its requests as they are.
_UNSAFE_IN_REQUESTS = re.compile(r"[^A-Za-z0-9._-]+")


def write_projector(folder: Path, points: ProjectorPoints) -> None:
    """Writes or rewrites a folder so that the Projector tab shows some points, each file as a whole.

    TensorBoard takes the folder for a run of its own, below an experiment's folder as below a folder of experiments.

    Arguments:
        folder: made if it is missing; gets `<tensor>.bytes`, `metadata.tsv`, `sprite.png` when there are thumbnails,
            `projector_config.pbtxt` and, once, an event file.
        points: what to show; at least one sample.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num_samples = len(next(iter(points.tensors.values())))
    write_atomically(folder / _METADATA_NAME, metadata_table(points.labels, num_samples=num_samples))
    config = ProjectorConfig()
    names = _unique(_UNSAFE_IN_REQUESTS.sub("-", name) for name in points.tensors)
    for name, tensor in zip(names, points.tensors.values()):
        matrix = _widened(tensor)
        write_atomically(folder / f"{name}.bytes", tensor_bytes(matrix))
        config.embeddings.add(tensor_name=name, tensor_path=f"{name}.bytes", tensor_shape=matrix.shape,
                              metadata_path=_METADATA_NAME)
    if points.thumbnails is not None:
        pixels, (height, width) = sprite_image(points.thumbnails)
        write_atomically(folder / _SPRITE_NAME, tf.io.encode_png(pixels).numpy())
        for embedding in config.embeddings:
            embedding.sprite.image_path = _SPRITE_NAME
            embedding.sprite.single_image_dim.extend([width, height])
    write_atomically(folder / _CONFIG_NAME, text_format.MessageToString(config))
    if not any(folder.glob("events.out.tfevents.*")):
        # Last: TensorBoard looks only into folders with an event file, and reads the description when it first sees one.
        tf.summary.create_file_writer(str(folder)).close()


def tensor_bytes(matrix: np.ndarray) -> bytes:
    """A matrix `[rows, columns]` in the Projector's binary form: its float32 values, row by row.

    TensorBoard recognises this form by its not being valid UTF-8, which not every matrix is (zeros are not). Therefore the
    lowest byte of the first value becomes 0xFF, which occurs nowhere in UTF-8; this changes the value by less than
    1 / 30,000.
    """
    data = bytearray(np.ascontiguousarray(matrix, dtype="<f4").tobytes())
    if np.isfinite(matrix.flat[0]):  # infinity and NaN are not valid UTF-8 anyway, and infinity would become NaN
        data[0] = 0xFF
    return bytes(data)


def metadata_table(labels: Mapping[str, np.ndarray], *, num_samples: int) -> str:
    """The labels as tab-separated table with a header, and as last column the sample's place in the data, from 0.

    The Projector takes a first line for a header only if it holds a tab; that of a single column would become a point. The
    column of places lets a single label keep its name, and leads back from a point to its sample; alone it has no header.
    """
    columns = [*labels.values(), np.arange(num_samples)]
    names = _unique([*map(_cell, labels), "sample"])
    header = [names] if len(names) > 1 else []
    rows = [*header, *([_cell(value) for value in row] for row in zip(*columns))]
    return "".join("\t".join(row) + "\n" for row in rows)


def sprite_image(thumbnails: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns all thumbnails in one square of rows and columns, from the left to the right and from the top to the bottom.

    Arguments:
        thumbnails: float32 `[n, height, width, channels]`; smallest and largest value become black and white. Tiny ones are
            enlarged by a whole number, those of very many samples reduced.

    Returns:
        uint8 `[rows · height, rows · width, channels]`, at most 8192 pixels high and wide, and the (height, width) of a
        thumbnail within it.
    """
    num_rows = int(np.ceil(np.sqrt(len(thumbnails))))
    levels = _grey_levels(_resized(thumbnails, largest_pixels=_LARGEST_SPRITE_PIXELS // num_rows))
    num_samples, height, width, channels = levels.shape
    pixels = np.zeros([num_rows**2, height, width, channels], np.uint8)
    pixels[:num_samples] = levels
    rows = pixels.reshape(num_rows, num_rows, height, width, channels).transpose(0, 2, 1, 3, 4)
    return rows.reshape(num_rows * height, num_rows * width, channels), (height, width)


def _resized(thumbnails: np.ndarray, *, largest_pixels: int) -> np.ndarray:
    height, width = thumbnails.shape[1:3]
    longest = max(height, width)
    if longest > largest_pixels:
        size = [max(1, height * largest_pixels // longest), max(1, width * largest_pixels // longest)]
        return tf.image.resize(thumbnails, size, method="area").numpy()
    factor = max(1, min(_CRISP_PIXELS, largest_pixels) // longest)
    return thumbnails.repeat(factor, axis=1).repeat(factor, axis=2)


def _grey_levels(images: np.ndarray) -> np.ndarray:
    finite = np.isfinite(images)
    lowest, highest = (images[finite].min(), images[finite].max()) if finite.any() else (0.0, 0.0)
    levels = (np.where(finite, images, lowest) - lowest) * (255 / max(highest - lowest, 1e-12))
    return np.rint(levels).astype(np.uint8)


def _widened(matrix: np.ndarray) -> np.ndarray:
    """Adds columns of zeros up to three: the page does not list a tensor of one column, and draws none of two in 3-D."""
    return np.pad(matrix, [(0, 0), (0, max(0, _SMALLEST_COLUMNS - matrix.shape[1]))])


def _cell(value: Any) -> str:
    """A value of the table: text in one piece, a number with at most 6 digits behind the first."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    text = f"{value:.7g}" if isinstance(value, (float, np.floating)) else str(value)
    return " ".join(text.split())


def _unique(names: Iterable[str]) -> list[str]:
    """The names, those that came before with a number."""
    taken: dict[str, None] = {}
    for name in names:
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        taken[candidate] = None
    return list(taken)
