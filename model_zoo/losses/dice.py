"""Dice loss: overlap of prediction and truth for segmentation, blind to how large a class is.

Source: Sudre, Li, Vercauteren, Ourselin, Cardoso, "Generalised Dice overlap as a deep learning loss function for highly
unbalanced segmentations", DLMIA 2017, its DL2; the same as the Tversky loss with both weights ½.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_zoo.losses.tversky import tversky_loss


def dice_loss(labels: Any, logits: Any, *, void_label: int | None = None) -> tf.Tensor:
    """1 − 2 · |prediction ∩ truth| / (|prediction| + |truth|), soft, over the whole batch; averaged over the classes present.

    Arguments:
        labels: integers `[batch, …]`: the class of each pixel, from 0, or `void_label`.
        logits: `[batch, …, classes]`, before the softmax.
        void_label: the label of pixels that do not count; None: all count. Keras' `Dice` knows none.

    Returns:
        float32 scalar in 0 … 1; 0 where nothing but void is labelled.

    Raises:
        ValueError: labels are no integers, or the shapes do not fit.
        tf.errors.InvalidArgumentError: while it runs: a label is neither a class nor `void_label`.
    """
    return tversky_loss(labels, logits, alpha=0.5, beta=0.5, void_label=void_label)
