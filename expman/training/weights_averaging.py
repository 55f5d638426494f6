"""Exponential moving averages of the weights, on the support that Keras' optimizers have for them.

Keras' own way to evaluate with the averages, `SwapEMAWeights`, exchanges them with the weights by additions and
subtractions, which changes the last bits of both. Here the averages are read in place (`ExperimentModel.infer`), so that
an evaluation leaves no trace in the training.
"""

from __future__ import annotations

import keras
import tensorflow as tf


def keep_averages(optimizer: keras.optimizers.Optimizer, *, decay: float) -> None:
    """Makes an optimizer that is not built yet keep `average ← decay · average + (1 − decay) · weight` at each step.

    Keras would overwrite the weights by their averages when `fit` returns; since training may go on after that, it must
    not.
    """
    optimizer.use_ema = True
    optimizer.ema_momentum = decay
    optimizer.ema_overwrite_frequency = None
    optimizer.finalize_variable_values = lambda var_list: None


def averages(optimizer: keras.optimizers.Optimizer) -> list[tf.Variable]:
    """The averages kept by a built optimizer, in the order of the trainable weights that it was built with."""
    return list(innermost(optimizer)._model_variables_moving_average)  # Keras has no public name for them


def start_averages_at_weights(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> None:
    """Gives the averages, which Keras starts at zero until the first step, the values of the weights."""
    for average, weight in zip(averages(optimizer), weights, strict=True):
        average.assign(weight)


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer within Keras' loss-scaling wrapper of mixed precision, or itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
