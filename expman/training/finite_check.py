"""Stops a training step whose loss or gradient is not finite, and finds out where that began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from expman.training.sample_weights import unpacked

if TYPE_CHECKING:
    from expman.training.experiment_model import ExperimentModel

_MARK = "The loss or its gradient is not finite"


def require_finite(value: tf.Tensor) -> tf.Tensor:
    """The value itself, or `tf.errors.InvalidArgumentError` if it is NaN or infinite; without the check under XLA.

    This single op is all that a good step pays: what went wrong is looked for only after a bad one.
    """
    return tf.debugging.check_numerics(value, _MARK)


def is_not_finite(error: tf.errors.OpError) -> bool:
    """Whether an error comes from `require_finite`."""
    return _MARK in str(error.message)


def first_not_finite(model: ExperimentModel, batch: tuple[Any, Any]) -> str:
    """Computes a training step again, op by op, and tells which tensor is the first that is not finite.

    Arguments:
        model: with the weights of before the step; its random generators and moving statistics advance.
        batch: (features, labels) of the step.
    """
    features, labels, sample_weights = unpacked(batch)
    inputs = model.preprocess(features)
    with tf.GradientTape() as tape:
        outputs = model.outputs_in_training(inputs)
        loss = model.total_loss(inputs=inputs, outputs=outputs, labels=labels, sample_weights=sample_weights)
    gradients = tape.gradient(loss, model.trainable_variables)
    named = list(_named_arrays({
        "features": features, "labels": labels, "sample weights": sample_weights,
        "preprocessed features": inputs, "output": outputs, "the loss": loss,
        "gradient of": {weight.path: part for weight, part in zip(model.trainable_variables, gradients)}}))
    first = next((name for name, values in named if not np.isfinite(values).all()),
                 "not found again, so it depends on random numbers or on data that differ from pass to pass")
    ranges = [f"{name} from {_finite(values).min(initial=np.inf):g} to {_finite(values).max(initial=-np.inf):g}"
              for name, values in named if name.startswith(("features", "labels"))]
    return f"The first tensor that is not finite: {first}. The batch: {', '.join(ranges)}."


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
