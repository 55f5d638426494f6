"""Contours between the classes of a label map."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def convert_semanticMap_contourMap(label_map: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:  # noqa: N802
    """Marks the pixels whose class differs from that of a neighbour above, below, left or right.

    Both sides of a border are marked, as by `skimage.segmentation.find_boundaries(label_map, connectivity=1, mode='thick')`.

    Arguments:
        label_map: whole numbers `[height, width]` or `[batch, height, width]`: a NumPy array, or a TensorFlow tensor in a
            graph or out of it.

    Returns:
        uint8 of the same shape and kind: 1 on contours, 0 elsewhere.

    Raises:
        ValueError: the rank is neither 2 nor 3.
    """
    rank = len(label_map.shape)
    if rank not in (2, 3):
        raise ValueError("label_map must be [height, width] or [batch, height, width]. "
                         f"Got the shape {list(label_map.shape)}.")
    is_tensor = tf.is_tensor(label_map)
    pad = tf.pad if is_tensor else np.pad
    all_batch = [[0, 0]] * (rank - 2)
    differs_below = label_map[..., 1:, :] != label_map[..., :-1, :]
    differs_right = label_map[..., :, 1:] != label_map[..., :, :-1]
    is_contour = (pad(differs_below, [*all_batch, [1, 0], [0, 0]]) | pad(differs_below, [*all_batch, [0, 1], [0, 0]])
                  | pad(differs_right, [*all_batch, [0, 0], [1, 0]]) | pad(differs_right, [*all_batch, [0, 0], [0, 1]]))
    return tf.cast(is_contour, tf.uint8) if is_tensor else is_contour.astype(np.uint8)
