"""Builds what an experiment serves: preprocessing, averaged weights and the user's postprocessing behind the served inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from expman.errors import UserCodeError, UserExceptionError
from expman.export.served_inputs import SERVING_PIPELINE, served_specs
from expman.export.served_model import ServedModel
from expman.export.signature_names import check_output_names
from expman.internals.tensorflow_internals import is_saved_along
from expman.settings.loading import Settings

_POSTPROCESSING = "model_outputs_postprocessing_for_serving"


def build_served_model(settings: Settings, *, outputs_of: Callable[[Any], Mapping[str, tf.Tensor]],
                       lookup_tables: Iterable[Any]) -> ServedModel:
    """Builds the served model of an experiment.

    Arguments:
        settings: the experiment.
        outputs_of: from raw features to the outputs of the network, with the weights that are served.
        lookup_tables: layers of the network that hold tables, which must be saved along.

    Raises:
        UserCodeError: the user's functions do not fit together, or the outputs lack `served_head`.
    """
    declared = settings.call(SERVING_PIPELINE)
    specs = served_specs(settings, declared)

    def answer(inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        outputs = outputs_of(dict(inputs) if isinstance(declared, Mapping) else inputs[settings.input_data_name])
        if not settings.defines(_POSTPROCESSING):
            return outputs
        return _checked_outputs(settings, settings.call(_POSTPROCESSING, model_outputs_dict=dict(outputs)))

    try:
        return ServedModel(answer=answer, inputs_spec=specs, resources=[*_resources(settings), *lookup_tables])
    except (UserExceptionError, ValueError, TypeError) as error:
        raise UserCodeError(f"{settings.place_of(SERVING_PIPELINE)}: the model cannot take the inputs that {SERVING_PIPELINE} "
                            f"declares, {_described(specs)}: {error}") from error


def _checked_outputs(settings: Settings, outputs: Any) -> dict[str, tf.Tensor]:
    """Returns the outputs of the user's postprocessing as tensors by name."""
    place = settings.place_of(_POSTPROCESSING)
    if not isinstance(outputs, Mapping) or not outputs:
        raise UserCodeError(f"{place}: {_POSTPROCESSING} must return a dict from names to tensors. "
                            f"Got {type(outputs).__name__}.")
    if settings.served_head not in outputs:
        raise UserCodeError(f"{place}: {_POSTPROCESSING} must return an output named as served_head = "
                            f"'{settings.served_head}'. It returns: {', '.join(map(str, outputs))}.")
    check_output_names(outputs, place=f"{place}: {_POSTPROCESSING}")
    try:
        return {name: tf.convert_to_tensor(tensor) for name, tensor in outputs.items()}
    except (ValueError, TypeError) as error:
        raise UserCodeError(f"{place}: {_POSTPROCESSING} must return a dict from names to tensors: {error}") from error


def _described(specs: Mapping[str, tf.TensorSpec]) -> str:
    return ", ".join(f"'{name}' {spec.dtype.name}{spec.shape}" for name, spec in specs.items())


def _resources(settings: Settings) -> list[Any]:
    """Finds what the user's files keep at module level and TensorFlow must save along, such as lookup tables."""
    names = {id(value): value for function in settings.functions.values()
             for value in getattr(function, "__globals__", {}).values() if is_saved_along(value)}
    return list(names.values())
