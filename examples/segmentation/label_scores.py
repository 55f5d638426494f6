"""Counts how predicted label maps agree with the true ones, over any number of images."""

from __future__ import annotations

import numpy as np


class LabelScores:
    """Accuracy and mean intersection over union of all pixels added so far.

    Arguments:
        num_classes: classes are 0 … num_classes − 1; pixels whose true label is none of these (void) do not count.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros([num_classes, num_classes], np.int64)  # true classes × predicted ones

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Counts the pixels of an image.

        Arguments:
            truth, predicted: integers of one shape; predicted are all classes.

        Raises:
            ValueError: the shapes differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"truth and prediction must have one shape. Got {list(truth.shape)} and {list(predicted.shape)}.")
        num_classes = len(self.counts)
        is_class = (truth >= 0) & (truth < num_classes)
        pairs = truth[is_class].astype(np.int64) * num_classes + predicted[is_class]
        self.counts += np.bincount(pairs, minlength=num_classes**2).reshape(self.counts.shape)

    @property
    def num_pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of the pixels with the right class; NaN without any pixel."""
        return float(np.trace(self.counts) / self.num_pixels) if self.num_pixels else float("nan")

    @property
    def mean_iou(self) -> float:
        """Intersection over union, averaged over the classes that are true or predicted somewhere, as Keras' MeanIoU."""
        intersections = np.diag(self.counts)
        unions = self.counts.sum(axis=0) + self.counts.sum(axis=1) - intersections
        present = unions > 0
        return float(np.mean(intersections[present] / unions[present])) if present.any() else float("nan")
