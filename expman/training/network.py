"""Builds the user's network as a functional Keras model and checks what he returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from expman.errors import UserCodeError, UserExceptionError
from expman.export.signature_names import check_output_names
from expman.settings.loading import Settings
from expman.training.data.batch_form import RAGGED_ADVICE


def checked_inputs(settings: Settings, returned: Any) -> Any:
    """Returns what `data_preprocess` returned, if Keras can take it.

    Raises:
        UserCodeError: it is neither a tensor nor a dict from names that Keras accepts to tensors, or a tensor is ragged.
    """
    named = returned if isinstance(returned, Mapping) else {"x": returned}
    wrong = [name for name in named if not (isinstance(name, str) and name and "/" not in name)]
    described = ", ".join(type(value).__name__ for value in named.values() if not hasattr(value, "shape"))
    if wrong or described or not named:
        got = f"the name {wrong[0]!r}" if wrong else described or "an empty dict"
        raise UserCodeError(f"{settings.place_of('data_preprocess')}: data_preprocess must return a tensor, or a dict from "
                            f"names (str, not empty, without '/') to tensors. Got {got}.")
    for name, tensor in named.items():
        if isinstance(tensor, tf.RaggedTensor):
            subject = f"the features '{name}' reach" if isinstance(returned, Mapping) else "the features reach"
            raise UserCodeError(f"{settings.place_of('data_preprocess')}: {subject} the network as a RaggedTensor "
                                f"{tensor.shape.as_list()}, of which its layers can compute nothing: {RAGGED_ADVICE}")
    return returned


def preprocessed_spec(preprocess: Callable[[Any], Any], features_spec: Any) -> Any:
    """The spec of what `preprocess` makes of features.

    Raises:
        UserCodeError: it refuses them; with advice where they are ragged.
    """
    try:
        return tf.function(preprocess, autograph=False).get_concrete_function(features_spec).structured_outputs
    except UserExceptionError as error:
        if any(isinstance(part, tf.RaggedTensorSpec) for part in tf.nest.flatten(features_spec)):
            raise UserCodeError(f"{error}\nThe features are ragged: {RAGGED_ADVICE}") from error
        raise


def network_inputs(settings: Settings, spec: Any) -> dict[str, tf.TensorSpec]:
    """The specs of the network's inputs by name, the batch dimension first; '' names a single tensor.

    Arguments:
        settings: the experiment.
        spec: what `data_preprocess` returns: a `tf.TensorSpec` or a dict of them.

    Raises:
        UserCodeError: it is something else, or of unknown rank.
    """
    named = dict(spec) if isinstance(spec, Mapping) else {"": spec}
    for name, entry in named.items():
        if entry.shape.rank in (None, 0):
            raise UserCodeError(f"{settings.place_of('data_preprocess')}: data_preprocess must return a tensor, or a dict from "
                                f"names to tensors, of known rank with the batch as first dimension. Got {entry}"
                                + (f" for '{name}'." if name else "."))
    return named


def build_network(settings: Settings, input_specs: Mapping[str, tf.TensorSpec], *, mode: str) -> keras.Model:
    """Calls the user's `model`.

    Arguments:
        settings: the experiment.
        input_specs: from `network_inputs`.
        mode: 'train' or 'infer'.

    Returns:
        A functional model from the inputs to the dict of outputs.

    Raises:
        UserCodeError: `model` raised or returned what the contract does not allow.
    """
    data = {name: keras.Input(shape=spec.shape[1:], dtype=spec.dtype.name, name=name or None)
            for name, spec in input_specs.items()}
    data = data if "" not in input_specs else data[""]
    returned = settings.call("model", data=data, n_outputs=settings.n_outputs, hparams=settings.hparams, mode=mode)
    outputs = returned(data) if isinstance(returned, keras.Model) else returned
    place = settings.place_of("model")
    if not isinstance(outputs, Mapping) or not outputs:
        raise UserCodeError(f"{place}: model must return a dict from names to Keras tensors, e.g. "
                            f"{{'{settings.served_head}': tensor}}. Got {type(outputs).__name__}.")
    check_output_names(outputs, place=f"{place}: model")
    for name, tensor in outputs.items():
        if not isinstance(tensor, keras.KerasTensor):
            raise UserCodeError(f"{place}: output '{name}' of model must be a Keras tensor. Got {type(tensor).__name__}.")
    if not settings.defines("model_outputs_postprocessing_for_serving") and settings.served_head not in outputs:
        raise UserCodeError(f"{place}: model must return an output named as served_head = '{settings.served_head}'. "
                            f"Its outputs are: {', '.join(outputs)}.")
    try:
        return keras.Model(inputs=data, outputs=dict(outputs), name="network")
    except ValueError as error:
        raise UserCodeError(f"{place}: model must compute its outputs from data: {error}") from error


def check_same_weights(settings: Settings, trained: keras.Model, inferring: keras.Model) -> None:
    """Checks that the networks of the two modes can share their weights.

    Raises:
        UserCodeError: their weights differ in number or shape.
    """
    if [weight.shape for weight in trained.weights] != [weight.shape for weight in inferring.weights]:
        raise UserCodeError(f"{settings.place_of('model')}: model must create the same weights with mode='train' "
                            f"({len(trained.weights)} weights) as with mode='infer' ({len(inferring.weights)} weights).")


def random_states(network: keras.Model) -> list[keras.Variable]:
    """The states of the random generators in a network, which an inference may advance (Monte Carlo dropout)."""
    weights = set(map(id, network.weights))
    return [variable for variable in network.variables if id(variable) not in weights]
