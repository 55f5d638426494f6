"""Sums over the present epoch, from which the means of a training's curves come."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from expman.internals.tensorflow_internals import outside_of_tracing

_LOSS, _SAMPLES, _NORM, _STEPS = range(4)
_NUM_OWN = 4


class EpochSums:
    """Loss, norm of the gradient and further scalars of the steps of an epoch; part of a training's state.

    One variable of high precision instead of several Keras metrics: a small network's step is hardly longer than their updates.
    Replicas must all add the same.

    Attributes:
        variable: float64 [4 + further scalars]: loss times samples, samples, norm of the gradient, steps; then each further
            scalar times samples.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._has_norm = True
        self._make_variable()

    def add(self, *, loss: tf.Tensor, num_samples: tf.Tensor, gradient_norm: tf.Tensor | None,
            further: Mapping[str, tf.Tensor] | None = None) -> None:
        """Adds a step, in the graph.

        Arguments:
            loss, num_samples: of the batch.
            gradient_norm: None where it is not known.
            further: scalars of the batch; their names are the same in each step.
        """
        further = further or {}
        self._has_norm = gradient_norm is not None
        if tuple(further) != self._names:  # the first step is being traced
            self._names = tuple(further)
            with outside_of_tracing(without_strategy=not tf.distribute.has_strategy()):
                self._make_variable()
        num_samples = tf.cast(num_samples, tf.float32)
        terms = [loss * num_samples, num_samples, 0.0 if gradient_norm is None else gradient_norm, 1.0,
                 *(value * num_samples for value in further.values())]
        self.variable.assign_add(tf.cast(tf.stack(terms), tf.float64))

    def reset(self) -> None:
        """Begins an epoch."""
        self.variable.assign(np.zeros(self.variable.shape))

    def values(self) -> np.ndarray:
        """The sums so far, for `means`."""
        return self.variable.numpy()

    def means(self, since: np.ndarray | float = 0.0) -> dict[str, float]:
        """Means by name, 'loss' first and 'gradient_norm' where it is known.

        Arguments:
            since: the sums at the first of the steps that count; by default those of the epoch's begin.
        """
        sums = self.values() - since
        means = {"loss": sums[_LOSS] / sums[_SAMPLES]}
        if self._has_norm:
            means["gradient_norm"] = sums[_NORM] / sums[_STEPS]
        means |= {name: value / sums[_SAMPLES] for name, value in zip(self._names, sums[_NUM_OWN:])}
        return {name: float(value) for name, value in means.items()}

    def means_of_epoch(self) -> dict[str, float]:
        """The means that belong into the epoch's logs: loss and further scalars."""
        return {name: value for name, value in self.means().items() if name == "loss" or name in self._names}

    def _make_variable(self) -> None:
        self.variable = keras.Variable(np.zeros(_NUM_OWN + len(self._names)), dtype="float64", trainable=False,
                                       name="epoch_sums", aggregation="only_first_replica")
