"""Finds out which tensor of a training step is the first that is not finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from expman.training.data.batch_form import unpacked
from expman.training.experiment_model import ExperimentModel
from expman.training.steps.finite_check import refused_subject


def first_not_finite(model: ExperimentModel, batch: tuple[Any, Any], *, error: tf.errors.OpError) -> str:
    """Computes a training step again, op by op, and tells which tensor is the first that is not finite.

    Arguments:
        model: with the weights of before the step; its random generators and moving statistics advance.
        batch: (features, labels) of the step.
        error: from `require_finite`; of a user's `train_step` only the inputs are computed again.
    """
    features, labels, sample_weights = unpacked(batch)
    inputs = model.preprocess(features)
    subject = refused_subject(error)
    named = list(_named_arrays({"features": features, "labels": labels, "sample weights": sample_weights,
                                "preprocessed features": inputs} | ({} if subject else _computed(model, inputs, batch))))
    first = next((name for name, values in named if not np.isfinite(values).all()), subject or
                 "not found again, so it depends on random numbers or on data that differ from pass to pass")
    ranges = [f"{name} from {_finite(values).min(initial=np.inf):g} to {_finite(values).max(initial=-np.inf):g}"
              for name, values in named if name.startswith(("features", "labels"))]
    return f"The first tensor that is not finite: {first}. The batch: {', '.join(ranges)}."


def _computed(model: ExperimentModel, inputs: Any, batch: tuple[Any, ...]) -> dict[str, Any]:
    """Returns what a step computes from the preprocessed features of a batch, in its order."""
    _, labels, sample_weights = unpacked(batch)
    with tf.GradientTape() as tape:
        outputs = model.outputs_in_training(inputs)
        loss = model.total_loss(inputs=inputs, outputs=outputs, labels=labels, sample_weights=sample_weights)
    gradients = tape.gradient(loss, model.trainable_variables)
    return {"output": outputs, "the loss": loss,
            "gradient of": {weight.path: part for weight, part in zip(model.trainable_variables, gradients)}}


def _named_arrays(searched: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each numeric tensor, in the order in which a step computes them."""
    for name, structure in searched.items():
        members = structure.items() if isinstance(structure, Mapping) else [("", structure)]
        for member, tensor in members:
            for part in tf.nest.flatten(tensor):
                if part is not None and (part.dtype.is_floating or part.dtype.is_integer):
                    yield f"{name} '{member}'" if member else name, tf.cast(part, tf.float64).numpy()


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
