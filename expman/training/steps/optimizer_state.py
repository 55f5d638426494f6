"""Reads an optimizer, whatever wraps it."""

from __future__ import annotations

import keras


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer within Keras' loss-scaling wrapper of mixed precision, or itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def step_variable(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Returns the variable that counts training steps. Keras' `iterations` are updates, of which several steps make one when
    gradients are accumulated.
    """
    return next(variable for variable in optimizer.variables if variable.name == "iteration")


def completed_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns the training steps that an optimizer has seen; by updates, a restart between two of them would read batches again."""
    return int(step_variable(innermost(optimizer)).numpy())
