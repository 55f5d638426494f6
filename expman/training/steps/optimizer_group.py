"""Several optimizers, each for a part of the network, as one for the training that counts, saves and averages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from expman.internals.keras_internals import schedule_of
from expman.training.steps.finite_check import require_finite


class PartsError(Exception):
    """Names of optimizers and parts of the network do not fit together; the message says why."""


class OptimizerGroup(keras.optimizers.Optimizer):
    """Optimizers by name, each with weights of its own; steps, checkpoints and averages see one optimizer.

    `iterations` counts training steps, whatever number of updates a member makes in one; the averages of the weights and the
    schedules of members follow the training steps, too. `learning_rate` is that of the first member; to set it scales those of
    all members by the same ratio.

    Arguments:
        members: name → optimizer, not built yet.
        parts: name → the weights that the optimizer of that name updates; see `weights_of_parts`.
    """

    def __init__(self, members: Mapping[str, keras.optimizers.Optimizer], *,
                 parts: Mapping[str, Sequence[keras.Variable]]) -> None:
        first = next(iter(members.values()))
        super().__init__(learning_rate=lambda: first.learning_rate, name="optimizer_group")
        self._members = tuple(members.items())
        self._parts = tuple(tuple(parts[name]) for name in members)
        for member in members.values():
            schedule = schedule_of(member)
            if schedule is not None:
                member.learning_rate = _AtTrainingStep(schedule, self.iterations)

    @property
    def members(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers by name."""
        return dict(self._members)

    @property
    def parts(self) -> dict[str, tuple[keras.Variable, ...]]:
        """The weights of each optimizer by its name."""
        return {name: part for (name, _), part in zip(self._members, self._parts)}

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Builds each member for its own weights."""
        super().build(list(variables))
        self._built_for = tuple(variables)
        for (_, member), part in zip(self._members, self._parts):
            member.build(list(part))

    @property
    def variables(self) -> list[keras.Variable]:
        """The step and the averages, then all variables of the members."""
        return [*super().variables, *(variable for _, member in self._members for variable in member.variables)]

    def apply(self, grads: Sequence[Any], trainable_variables: Iterable[keras.Variable] | None = None) -> None:
        """One training step in which each member makes one update with its part of the gradient.

        Raises:
            PartsError: the loss depends on no weight of a part.
        """
        variables = self._built_for if trainable_variables is None else trainable_variables
        gradient_of = {id(variable): gradient for variable, gradient in zip(variables, grads, strict=True)}
        for (name, member), part in zip(self._members, self._parts):
            gradients = [gradient_of[id(variable)] for variable in part]
            if all(gradient is None for gradient in gradients):
                raise PartsError(f"the loss depends on none of the weights of '{name}'. Correct get_total_loss, or define "
                                 "train_step.")
            member.apply(gradients, list(part))
        self.count_step()

    def count_step(self) -> None:
        """Counts a training step whose updates the members have made."""
        self.iterations.assign_add(1)

    def require_finite_gradients(self) -> None:
        """Makes each member refuse gradients that are not finite before it updates a weight; see `require_finite`."""
        for name, member in self._members:
            member.apply = _refusing_not_finite(member.apply, name=name)

    @property
    def learning_rate(self) -> Any:
        """See the class."""
        return self._members[0][1].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        ratio = float(learning_rate) / float(self.learning_rate)
        for _, member in self._members:
            member.learning_rate = float(member.learning_rate) * ratio

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss itself: groups do not scale it."""
        return loss

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Nothing: training may go on with the weights."""


class _AtTrainingStep(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that follows the training steps instead of the updates of its optimizer."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, training_step: keras.Variable) -> None:
        self._schedule = schedule
        self._training_step = training_step

    def __call__(self, step: Any) -> Any:
        return self._schedule(self._training_step)


def members_of(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """The optimizers of a group, or the one that is none."""
    return list(optimizer.members.values()) if isinstance(optimizer, OptimizerGroup) else [optimizer]


def weights_of_parts(network: keras.Model, names: Iterable[str]) -> dict[str, list[keras.Variable]]:
    """The trainable weights of the layers or sub-models of some names, in the order of the network.

    Raises:
        PartsError: a name is no layer of the network, or a layer without trainable weights; or a weight is in no part, or in
            several.
    """
    layers = {layer.name: layer for layer in network.layers if layer.trainable_variables}
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise PartsError(f"{_quoted(unknown)} name no layer of the network that has trainable weights. Those that have: "
                         f"{_quoted(layers)}. Name each optimizer after a layer or sub-model.")
    owners = {id(weight): [name for name in names if any(weight is own for own in layers[name].trainable_variables)]
              for weight in network.trainable_variables}
    errors = [f"{weight.path} is in {_quoted(owners[id(weight)]) if owners[id(weight)] else 'none'}"
              for weight in network.trainable_variables if len(owners[id(weight)]) != 1]
    if errors:
        raise PartsError(f"each trainable weight must belong to one of the parts {_quoted(names)}, but {'; '.join(errors)}. "
                         "Name optimizers for the other layers, too, or set trainable = False on them.")
    return {name: [weight for weight in network.trainable_variables if owners[id(weight)] == [name]] for name in names}


def _refusing_not_finite(apply: Any, *, name: str) -> Any:
    def checked_apply(grads: Sequence[Any], trainable_variables: Iterable[keras.Variable] | None = None) -> None:
        norm = require_finite(tf.linalg.global_norm(list(grads)), f"a gradient that train_step gives to the optimizer '{name}'")
        with tf.control_dependencies([norm]):
            apply(grads, trainable_variables)

    return checked_apply


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
