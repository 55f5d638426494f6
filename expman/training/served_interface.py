"""Derives from the user's files what is served: the inputs, the answer to them, and a real sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from expman.errors import UserCodeError, UserExceptionError
from expman.export.served_model import ServedModel
from expman.settings.loading import Settings
from expman.training.experiment_model import ExperimentModel
from expman.training.lookup_tables import table_layers
from expman.training.network import check_output_names

_SERVING_PIPELINE = "get_input_pipeline_serving"
_POSTPROCESSING = "model_outputs_postprocessing_for_serving"
_SAMPLE_SIZE = 4


def build_served_model(settings: Settings, model: ExperimentModel) -> ServedModel:
    """Preprocessing, averaged weights and postprocessing behind the inputs of `get_input_pipeline_serving`.

    Raises:
        UserCodeError: the user's functions do not fit together, or the outputs lack `served_head`.
    """
    spec = settings.call(_SERVING_PIPELINE)
    inputs_spec = _named_specs(settings, spec)

    def answer(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        features = dict(inputs) if isinstance(spec, Mapping) else inputs[settings.input_data_name]
        outputs = model.call(features)
        if settings.defines(_POSTPROCESSING):
            outputs = _checked_outputs(settings, settings.call(_POSTPROCESSING, model_outputs_dict=dict(outputs)))
        return outputs

    try:
        return ServedModel(answer=answer, inputs_spec=inputs_spec, resources=[*_resources(settings), *table_layers(model.network)])
    except (UserExceptionError, ValueError, TypeError) as error:
        raise UserCodeError(f"{settings.place_of(_SERVING_PIPELINE)}: the model cannot take the inputs that {_SERVING_PIPELINE} "
                            f"declares, {_described(inputs_spec)}: {error}") from error


def serving_sample(settings: Settings, features: Any) -> dict[str, np.ndarray]:
    """A few real samples in the shape of the served inputs.

    Arguments:
        features: a batch of features of the dataset. Where their shape does not fit the declared input (training on
            patches, serving whole images), their values are repeated to fill it.

    Raises:
        UserCodeError: a served input is none of the features.
    """
    specs = _named_specs(settings, settings.call(_SERVING_PIPELINE))
    named = features if isinstance(features, Mapping) else {settings.input_data_name: features}
    if not isinstance(features, Mapping) and len(specs) == 1:
        named = {next(iter(specs)): features}
    sample = {}
    for name, spec in specs.items():
        if name not in named:
            raise UserCodeError(f"{settings.place_of(_SERVING_PIPELINE)}: the served input '{name}' is none of the features of "
                                f"the training data: {', '.join(named)}.")
        value = tf.convert_to_tensor(named[name])[:_SAMPLE_SIZE].numpy()
        sample[name] = _fitted(value, spec)
    return sample


def _fitted(value: np.ndarray, spec: tf.TensorSpec) -> np.ndarray:
    if spec.shape.rank is not None and not spec.shape.is_compatible_with(value.shape):
        present = list(value.shape) + [1] * spec.shape.rank
        value = np.resize(value, [size or present[axis] for axis, size in enumerate(spec.shape.as_list())])
    return value.astype(spec.dtype.as_numpy_dtype)


def _named_specs(settings: Settings, spec: Any) -> dict[str, tf.TensorSpec]:
    named = dict(spec) if isinstance(spec, Mapping) else {settings.input_data_name: spec}
    if not named:
        raise UserCodeError(f"{settings.place_of(_SERVING_PIPELINE)}: {_SERVING_PIPELINE} must return a tf.TensorSpec, or a "
                            "dict from names to tf.TensorSpec. Got an empty dict.")
    for name, entry in named.items():
        if not isinstance(entry, tf.TensorSpec) or not isinstance(name, str) or not name:
            raise UserCodeError(f"{settings.place_of(_SERVING_PIPELINE)}: {_SERVING_PIPELINE} must return a tf.TensorSpec, or a "
                                f"dict from names (str) to tf.TensorSpec. Got {type(entry).__name__} for {name!r}.")
    return named


def _checked_outputs(settings: Settings, outputs: Any) -> dict[str, tf.Tensor]:
    """What the user's postprocessing returned, as tensors by name."""
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
    """What the user's files keep at module level and TensorFlow must save along, such as lookup tables."""
    trackable = tf.__internal__.tracking.Trackable
    names = {id(value): value for function in settings.functions.values()
             for value in getattr(function, "__globals__", {}).values() if isinstance(value, trackable)}
    return list(names.values())
