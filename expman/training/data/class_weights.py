"""Turns weights of classes into sample weights of the training data, and looks at the labels before that."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from expman.errors import TrainingError, UserCodeError
from expman.settings.class_weights import BALANCED, SettledClassWeights, balanced_weights, settled
from expman.settings.loading import Settings
from expman.training.data.input_data import InputData
from expman.training.data.labels_of_classes import classes_of_labels, labels_error
from expman.training.data.unknown_length import told_while_counting
from expman.training.op_errors import readable_message

_LOGGER = logging.getLogger(__name__)
_PIPELINE, _LOSS = "get_input_pipeline_train_val", "get_total_loss"
_MOST_SAMPLES = 10_000  # that are looked at where the weights are given
_MOST_TOLD = 20


def with_class_weights(settings: Settings) -> Settings:
    """Looks at the labels of the training data, unless that was done, and settles the weights of their classes.

    'balanced' counts the labels of one pass. For weights that are given, the first 10,000 samples are looked at; a label without
    a weight that comes later ends the training with the same words.

    Raises:
        UserCodeError: the loss takes no sample weights, the labels are no classes, or a class has no weight.
        TrainingError: the data cannot be read.
    """
    wish = settings.class_weights
    if wish is None or isinstance(wish, SettledClassWeights):
        return settings
    if not (settings.defines("train_step") or settings.declares(_LOSS, "sample_weights")):
        raise UserCodeError(f"{settings.place_of(_LOSS)}: class_weights makes sample weights, and {_LOSS} does not declare "
                            "sample_weights: they would have no effect. Declare it and weigh the samples, e.g. "
                            "tf.reduce_mean(sample_weights * losses), or assign a loss of Keras.")
    counts, is_whole_pass = _count_classes(settings, most_samples=None if wish == BALANCED else _MOST_SAMPLES)
    if wish == BALANCED:
        weights = balanced_weights(counts)
        _LOGGER.info("class_weights = 'balanced': %s", _listed({label: f"{weight:.4g} ({counts[label]:,} labels)"
                                                                for label, weight in weights.items()}))
        return settled(settings, weights)
    unweighted = {label: f"{count:,} labels" for label, count in sorted(counts.items()) if label not in wish}
    if unweighted:
        raise UserCodeError(f"{settings.file}: class_weights has no weight for classes of the training data: "
                            f"{_listed(unweighted)}. It has those of {', '.join(map(str, sorted(wish)))}. Add the others, or "
                            "write 'balanced'.")
    absent = sorted(label for label in wish if label not in counts)
    if is_whole_pass and absent:
        _LOGGER.warning("%s: class_weights names classes that no training label has: %s.", settings.file,
                        ", ".join(map(str, absent)))
    return settled(settings, wish)


def _count_classes(settings: Settings, *, most_samples: int | None) -> tuple[collections.Counter[int], bool]:
    """Labels of each class in a pass, or in its first samples; and whether that was the whole pass."""
    plain = dataclasses.replace(settings, values={**settings.values, "class_weights": None})
    data = InputData(plain, for_training=True)
    place = settings.place_of(_PIPELINE)
    error = labels_error(data.first_batch[1])
    if error:
        raise UserCodeError(f"{place}: class_weights needs labels that are classes: {error}")
    classes = data.dataset.map(lambda features, labels, *weights: classes_of_labels(labels))
    counts: collections.Counter[int] = collections.Counter()
    num_samples = 0
    why = "class_weights = 'balanced' needs the classes of all labels; set nb_train_samples if they never end." if (
        most_samples is None) else f"class_weights is compared with the labels of the first {most_samples:,} samples."
    for batch in _read(classes, place=place, why=why):
        labels, numbers = np.unique(batch.numpy(), return_counts=True)
        counts.update(dict(zip(labels.tolist(), numbers.tolist())))
        num_samples += batch.shape[0]
        if most_samples is not None and num_samples >= most_samples:
            return counts, False
    return counts, True


def _read(classes: tf.data.Dataset, *, place: str, why: str) -> Iterator[tf.Tensor]:
    try:
        yield from told_while_counting(classes, place=place, described_as="training data", remedy=why)
    except tf.errors.OpError as error:
        raise TrainingError(f"{place}: the labels of the training data cannot be read: {readable_message(error)}") from error


def _listed(texts: Mapping[int, str]) -> str:
    shown = [f"{label}: {text}" for label, text in list(texts.items())[:_MOST_TOLD]]
    return ", ".join([*shown, f"and {len(texts) - _MOST_TOLD} more"] if len(texts) > _MOST_TOLD else shown)
