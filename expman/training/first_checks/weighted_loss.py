"""Requires that the sample weights of a first batch can be used and reach the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from expman.errors import UserCodeError
from expman.settings.loading import Settings
from expman.training.data.batch_form import unpacked
from expman.training.experiment_model import ExperimentModel
from expman.training.first_checks.told_apart import told_apart

_LOSS = "get_total_loss"
_EQUAL = 1e-6


def check_sample_weights(settings: Settings, model: ExperimentModel, batch: tuple[Any, ...], *, described_as: str) -> None:
    """Requires that the weights of a first batch can be used and reach the loss.

    Arguments:
        settings: the experiment.
        model: compiled.
        batch: as the dataset yields it.
        described_as: what the data are, e.g. 'training data'.

    Raises:
        UserCodeError: the weights are negative, not finite, or not one a sample, or get_total_loss does not depend on them:
            then they would have no effect, without a word.
    """
    features, labels, weights = unpacked(batch)
    if weights is None:
        return
    num_samples = tf.nest.flatten(features)[0].shape[0]
    if weights.shape.rank == 0 or weights.shape[0] != num_samples:
        raise UserCodeError(f"The sample weights of the {described_as} must be [batch, ...], here with {num_samples} samples. "
                            f"Got shape {weights.shape}.")
    if not (np.isfinite(weights).all() and (weights.numpy() >= 0).all()):
        raise UserCodeError(f"The sample weights of the {described_as} must be finite and not negative. The first batch has "
                            f"{weights.numpy().min():g} to {weights.numpy().max():g}.")
    if not weights.numpy().any():
        raise UserCodeError(f"The sample weights of the first batch of the {described_as} are all 0: it would teach and measure "
                            "nothing. Correct them, or leave such samples out.")
    place = settings.place_of(_LOSS)
    if settings.defines("train_step") and not settings.declares(_LOSS, "sample_weights"):
        return  # get_total_loss only evaluates then
    if not settings.declares(_LOSS, "sample_weights"):
        raise UserCodeError(f"{place}: the {described_as} bring sample weights, and {_LOSS} does not declare sample_weights: "
                            "they would have no effect. Declare it and weigh the samples, e.g. tf.reduce_mean(sample_weights * "
                            "losses), or yield pairs (features, labels).")
    if model.runs_without_strategy and not _depends_on_weights(model, features, labels, weights):
        raise UserCodeError(f"{place}: {_LOSS} declares sample_weights, but its value is the same whichever sample has which. "
                            f"Weigh each sample by its own: losses must have the shape of the weights, {weights.shape}.")


def _depends_on_weights(model: ExperimentModel, features: Any, labels: Any, weights: tf.Tensor) -> bool:
    """Returns whether it matters to the loss which sample has which weight; True for a single sample."""
    if weights.shape[0] < 2:
        return True
    inputs = model.preprocess(features)
    outputs = told_apart(model.infer(inputs))
    drawn = tf.constant(np.random.default_rng(0).uniform(0.1, 2, weights.shape), tf.float32)
    losses = [float(model.total_loss(inputs=inputs, outputs=outputs, labels=labels, losses=[], sample_weights=permuted))
              for permuted in (drawn, tf.roll(drawn, 1, axis=0), tf.reverse(drawn, axis=[0]))]
    return not np.allclose(losses, losses[0], rtol=_EQUAL, atol=0)
