"""Takes batches apart, and finds out before a training that a dataset's elements are none or have no common shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

_PADDED_BATCH_ADVICE = ("The samples have different shapes. Batch them by padded_batch(batch_size), which fills the shorter ones "
                        "up, or by ragged_batch(batch_size) and map(lambda x, y: (x.to_tensor(), y)).")
RAGGED_ADVICE = ("the samples have different shapes. Fill the shorter ones up, by padded_batch(batch_size) instead of "
                 "ragged_batch(batch_size), or by map(lambda x, y: (x.to_tensor(), y)) after it; where data_preprocess makes "
                 "them ragged, let it return their to_tensor().")
_SHAPES_DIFFER = ("Cannot batch tensors with different shapes", "Cannot add tensor to the batch")


def unpacked(batch: tuple[Any, ...]) -> tuple[Any, Any, tf.Tensor | None]:
    """Returns features, labels and sample weights as float32, as Keras casts them; None for a batch that brings no weights."""
    features, labels, *weights = batch
    return features, labels, tf.cast(weights[0], tf.float32) if weights else None


def what_to_return(returned: Any) -> str:
    """A sentence that tells how to make a dataset of what a pipeline returned; '' where that is not known."""
    if isinstance(returned, (tuple, list)) and len(returned) == 2 and all(map(_is_array, returned)):
        return " Write tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size) of these arrays, shuffled for training."
    if _is_array(returned):
        return " Write tf.data.Dataset.from_tensor_slices((features, labels)).batch(batch_size)."
    return ""


def unbatched_error(spec: Any, batch_size: int, *, served_spec: Callable[[], Any] | None = None) -> str | None:
    """Why the elements of a dataset cannot be batches, with the remedy; None where they can be.

    Batches have one first dimension in all their tensors, which is not known before, or is the batch size. Samples have none:
    their labels are scalars, or the first dimensions differ, or the features have the shape of a served input without its first
    dimension.

    Arguments:
        spec: of an element, (features, labels).
        batch_size: of the settings.
        served_spec: gives what `get_input_pipeline_serving` returns.
    """
    shapes = [part.shape for part in tf.nest.flatten(spec)]
    if any(shape.rank is None for shape in shapes):
        return None
    first = [shape[0] if shape.rank else "none" for shape in shapes]
    is_batch = None in first or batch_size in first or ("none" not in first and len(set(first)) == 1)
    if is_batch and not (served_spec is not None and _are_served_samples(spec[0], served_spec())):
        return None
    return (f"its elements are single samples, no batches: {', '.join(map(_shown, shapes))}. End the pipeline by "
            f".batch(batch_size), here {batch_size}")


def advice_on(message: str) -> str:
    """The message of an error, and what helps where samples of different shapes cannot be batched."""
    return f"{message}\n{_PADDED_BATCH_ADVICE}" if any(error in message for error in _SHAPES_DIFFER) else message


def _are_served_samples(features: Any, served: Any) -> bool:
    """Returns whether each of the features is, by a first size that both name, one sample of a served input."""
    if not isinstance(features, Mapping):
        named = list(served.values()) if isinstance(served, Mapping) else [served]
        features, served = {"": features}, {"": named[0] if len(named) == 1 else None}
    if not isinstance(served, Mapping):
        return False
    return all(_is_sample_of(spec, served.get(name)) for name, spec in features.items())


def _is_sample_of(spec: Any, served: Any) -> bool:
    if not (isinstance(spec, tf.TensorSpec) and isinstance(served, tf.TensorSpec)) or not served.shape.rank:
        return False
    sample = served.shape[1:]
    return bool(spec.shape.rank and sample.rank and spec.shape[0] is not None and spec.shape[0] == sample[0]
                and spec.shape.is_compatible_with(sample))


def _is_array(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_array, value.values()))
    return (hasattr(value, "shape") and hasattr(value, "dtype")) or hasattr(value, "to_numpy")


def _shown(shape: tf.TensorShape) -> str:
    return str(shape.as_list()) if shape.rank else "a scalar"
