"""The weights of classes that an experiment trains with: as the user gave them, or balanced by the classes' frequencies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from expman.settings.loading import Settings

BALANCED = "balanced"


class SettledClassWeights(dict[int, float]):
    """Class → weight, after the training labels were looked at."""


def balanced_weights(counts: Mapping[int, int]) -> dict[int, float]:
    """Number of labels / (number of classes · labels of the class), as scikit-learn's `compute_class_weight('balanced')`.

    Arguments:
        counts: class → labels of it.
    """
    num_labels = sum(counts.values())
    return {label: num_labels / (len(counts) * count) for label, count in sorted(counts.items())}


def settled(settings: Settings, weights: Mapping[int, float]) -> Settings:
    """The settings with weights that need no further look at the labels."""
    return dataclasses.replace(settings, values={**settings.values, "class_weights": SettledClassWeights(weights)})


def restored(settings: Settings, recorded: Mapping[str, float]) -> Settings:
    """The settings with the weights that the training started with, so that a restart goes on with the same.

    Arguments:
        settings: of the experiment's folder.
        recorded: `class_weights` of `experiment.json`, whose keys are text; {} for an experiment without.
    """
    wish = settings.class_weights
    if not recorded or wish is None:
        return settings
    return settled(settings, {int(label): weight for label, weight in recorded.items()} if wish == BALANCED else wish)
