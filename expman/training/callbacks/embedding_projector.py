"""Fills TensorBoard's Projector tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress
from expman.training.tensorboard.projector_files import write_projector
from expman.training.tensorboard.projector_points import collect_points


class EmbeddingProjector(AfterEvaluations):
    """Shows validation samples as points after each evaluation that is a new best: inputs, outputs, labels, thumbnails.

    A TensorBoard that runs meanwhile keeps the last tensor that its page asked for: choose another tensor and come back
    to see the newest points.

    Arguments:
        folder: of the Projector's files; rewritten each time.
        progress: read for `improved`; `num_projections` counts the passes over the data, which a restart has to know of.
        batches: the validation data: (features, labels), read from its beginning.
        project: gives the preprocessed inputs and the outputs, name → tensor, of a batch of features.
        label_names: one name per label column.
        num_samples: most points to show, above 0: the first samples.
    """

    def __init__(self, *, folder: Path, progress: TrainingProgress, batches: Iterable[tuple[Any, Any]],
                 project: Callable[[Any], tuple[Any, Mapping[str, tf.Tensor]]], label_names: Sequence[str],
                 num_samples: int) -> None:
        super().__init__(progress=progress)
        self._folder = folder
        self._batches = batches
        self._project = project
        self._label_names = label_names
        self._num_samples = num_samples

    def on_evaluation(self) -> None:
        if self._progress.improved:
            points = collect_points(self._batches, project=self._project, label_names=self._label_names,
                                    num_samples=self._num_samples)
            self._progress.num_projections += 1
            if points.tensors:  # it may be that all are too large
                write_projector(self._folder, points)
