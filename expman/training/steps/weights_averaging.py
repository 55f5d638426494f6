"""Exponential moving averages of the weights, as variables of their optimizer.

Keras' own way to evaluate with the averages, `SwapEMAWeights`, exchanges them with the weights by additions and
subtractions, which changes the last bits of both. Here the averages are read in place (`ExperimentModel.infer`), so that
an evaluation leaves no trace in the training.

Nor is Keras' constant decay used: with 0.998 the averages would hold 61 % of the random initial weights after 250 steps.
The decay warms up as that of TensorFlow 1's `tf.train.ExponentialMovingAverage(decay, num_updates)` does, whose rule is
(1 + n) / (10 + n); with 60 instead of 10 the averages lag less behind a loss that falls fast (docs/averages.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from expman.training.steps.optimizer_state import innermost, step_variable

_WARM_UP = 60


def keep_averages(optimizer: keras.optimizers.Optimizer, *, decay: float) -> None:
    """Makes an optimizer that is not built yet keep averages of its weights.

    At step n, from 1: `average ← d · average + (1 − d) · weight` with `d = min(decay, (1 + n) / (60 + n))`. The step is read
    from the optimizer's own counter, so that a restart goes on exactly, and checkpoints hold nothing else than without a warm-up.
    The weights are those after their constraints, so that the averages keep a convex one, too.

    Keras' own averages (`use_ema`) would overwrite the weights when `fit` returns, after which training may go on.
    """
    optimizer = innermost(optimizer)
    optimizer.use_ema = False
    build, step_name = optimizer.build, "count_step" if hasattr(optimizer, "count_step") else "apply"  # the former: of a group
    make_step = getattr(optimizer, step_name)

    def build_with_averages(variables: Sequence[keras.Variable]) -> None:
        variables = list(variables)
        optimizer.averages_of_weights = tuple(optimizer.add_optimizer_variables(variables, "average"))
        build(variables)
        optimizer.averaged_weights = tuple(variables)

    def step_with_averages(*gradients: Any, **named: Any) -> None:
        make_step(*gradients, **named)
        _update_averages(optimizer, optimizer.averaged_weights, decay=decay)

    optimizer.build = build_with_averages
    setattr(optimizer, step_name, step_with_averages)


def keeps_averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether an optimizer is built and keeps averages of its weights."""
    return hasattr(innermost(optimizer), "averages_of_weights")


def decay_at_step(step: float, decay: float) -> float:
    """The decay of the averages at a training step, from 1."""
    return min(decay, (1 + step) / (_WARM_UP + step))


def steps_to_full_decay(decay: float) -> int:
    """The step from which the averages use the decay itself: the first n with `(1 + n) / (60 + n) >= decay`."""
    return max(1, math.ceil((_WARM_UP * decay - 1) / (1 - decay) - 1e-6))


def notice_of_short_training(*, decay: float, num_steps: int) -> str | None:
    """Tells that a training is too short for its decay to be reached; None when it is not."""
    if num_steps >= steps_to_full_decay(decay):
        return None
    return (f"averaged weights: weights_moving_average_decay = {decay:g} would be reached after {steps_to_full_decay(decay):,} "
            f"steps. The decay grows with the step, so at the end of these {num_steps:,} steps it is "
            f"{decay_at_step(num_steps, decay):.4g}: the averages span about {_span(num_steps):,} of the last steps.")


def _span(num_steps: int) -> int:
    return max(1, round((_WARM_UP + num_steps) / (_WARM_UP - 1)))


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the averages kept by a built optimizer, in the order of the trainable weights that it was built with."""
    return list(innermost(optimizer).averages_of_weights)


def start_averages_at_weights(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> None:
    """Gives the averages, which Keras starts at zero until the first step, the values of the weights."""
    for average, weight in zip(averages(optimizer), weights, strict=True):
        average.assign(weight)


def _update_averages(optimizer: keras.optimizers.Optimizer, weights: Sequence[keras.Variable], *, decay: float) -> None:
    """Makes one step of the averages, in the graph; the optimizer has counted its own."""
    step = tf.cast(tf.convert_to_tensor(step_variable(optimizer)), tf.float32)
    decay = tf.minimum(tf.constant(decay, tf.float32), (1.0 + step) / (_WARM_UP + step))
    for average, weight in zip(averages(optimizer), weights, strict=True):
        kept = tf.cast(decay, average.dtype)
        average.assign(kept * tf.convert_to_tensor(average) + (1 - kept) * tf.cast(tf.convert_to_tensor(weight), average.dtype))
