"""Reads the served inputs from the user's `get_input_pipeline_serving`, and brings real samples into their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from expman.errors import UserCodeError
from expman.export.signature_names import check_input_names
from expman.settings.loading import Settings

SERVING_PIPELINE = "get_input_pipeline_serving"
_SAMPLE_SIZE = 4


def served_specs(settings: Settings, declared: Any) -> dict[str, tf.TensorSpec]:
    """Returns the spec of each served input by name.

    Arguments:
        settings: the experiment.
        declared: what `get_input_pipeline_serving` returned.

    Raises:
        UserCodeError: it is neither a `tf.TensorSpec` nor a dict from names that can be served to them.
    """
    named = dict(declared) if isinstance(declared, Mapping) else {settings.input_data_name: declared}
    if not named:
        raise UserCodeError(f"{settings.place_of(SERVING_PIPELINE)}: {SERVING_PIPELINE} must return a tf.TensorSpec, or a "
                            "dict from names to tf.TensorSpec. Got an empty dict.")
    for name, entry in named.items():
        if not isinstance(entry, tf.TensorSpec) or not isinstance(name, str) or not name:
            raise UserCodeError(f"{settings.place_of(SERVING_PIPELINE)}: {SERVING_PIPELINE} must return a tf.TensorSpec, or a "
                                f"dict from names (str) to tf.TensorSpec. Got {type(entry).__name__} for {name!r}.")
    is_named_here = isinstance(declared, Mapping)
    check_input_names(named, place=f"{settings.place_of(SERVING_PIPELINE)}: {SERVING_PIPELINE}" if is_named_here
                      else f"{settings.file}: input_data_name")
    return named


def serving_sample(settings: Settings, features: Any) -> dict[str, np.ndarray]:
    """Returns a few real samples in the shape of the served inputs.

    Arguments:
        features: a batch of features of the dataset. Where their shape does not fit the declared input (training on
            patches, serving whole images), their values are repeated to fill it.

    Raises:
        UserCodeError: a served input is none of the features.
    """
    specs = served_specs(settings, settings.call(SERVING_PIPELINE))
    named = features if isinstance(features, Mapping) else {settings.input_data_name: features}
    if not isinstance(features, Mapping) and len(specs) == 1:
        named = {next(iter(specs)): features}
    sample = {}
    for name, spec in specs.items():
        if name not in named:
            raise UserCodeError(f"{settings.place_of(SERVING_PIPELINE)}: the served input '{name}' is none of the features of "
                                f"the training data: {', '.join(named)}.")
        value = tf.convert_to_tensor(named[name])[:_SAMPLE_SIZE].numpy()
        sample[name] = _fitted(value, spec)
    return sample


def _fitted(value: np.ndarray, spec: tf.TensorSpec) -> np.ndarray:
    if spec.shape.rank is not None and not spec.shape.is_compatible_with(value.shape):
        present = list(value.shape) + [1] * spec.shape.rank
        value = np.resize(value, [size or present[axis] for axis, size in enumerate(spec.shape.as_list())])
    return value.astype(spec.dtype.as_numpy_dtype)
