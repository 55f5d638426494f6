"""Collects what TensorBoard's Projector shows of validation samples: inputs, outputs, labels and thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

# Wider tensors, such as a map of classes for each pixel, would fill the disk and stall the browser.
_MAX_TENSOR_COLUMNS = 16384
_MAX_LABEL_COLUMNS = 16
_MAX_THUMBNAIL_PIXELS = 64
_IMAGE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ProjectorPoints:
    """Some samples as points; all arrays have the samples as first dimension, in the same order.

    Attributes:
        tensors: name → float32 `[n, columns]`: the inputs and each output of the model.
        labels: column name → numbers or bytes `[n]`; {} when there are none.
        thumbnails: float32 `[n, height, width, 1 or 3]` in the range of the inputs; None when no input is an image.
    """

    tensors: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    thumbnails: np.ndarray | None


def collect_points(batches: Iterable[tuple[Any, Any]], *, project: Callable[[Any], tuple[Any, Mapping[str, tf.Tensor]]],
                   label_names: Sequence[str], num_samples: int) -> ProjectorPoints:
    """Reads the first samples of a dataset.

    Images with more than 16384 values are reduced to thumbnails. Left out are other tensors that are as wide, that have no
    row a sample, or another width in each batch: the Projector needs one matrix of moderate size.

    Arguments:
        batches: yields (features, labels), as eager tensors or dicts of them.
        project: gives the preprocessed inputs and the outputs of a batch of features.
        label_names: a name for each label column; others are made up if their number does not fit.
        num_samples: most samples to read, above 0.
    """
    tensors, labels, thumbnails = [], [], []
    num_missing = num_samples
    for features, batch_labels, *_ in batches:
        inputs, outputs = project(features)
        inputs = _named(inputs, name="inputs")
        batch_size = next(iter(inputs.values())).shape[0]
        inputs, outputs, batch_labels = (_first_rows(part, batch_size=batch_size, num_rows=num_missing)
                                         for part in (inputs, outputs, _named(batch_labels, name="label")))
        tensors.append(_matrices(inputs=inputs, outputs=outputs))
        labels.append(_label_columns(batch_labels, names=label_names))
        thumbnails.append(_thumbnails(inputs))
        num_missing -= batch_size
        if num_missing <= 0:
            break
    return ProjectorPoints(tensors=_joined(tensors), labels=_joined(labels),
                           thumbnails=_joined(thumbnails).get("thumbnails"))


def _named(structure: Any, *, name: str) -> dict[str, Any]:
    """A tensor, or a dict or tuple of tensors, by name; {} for None."""
    if isinstance(structure, Mapping):
        return dict(structure)
    if isinstance(structure, (tuple, list)):
        return {f"{name}_{number}": value for number, value in enumerate(structure, start=1)}
    return {} if structure is None else {name: structure}


def _first_rows(tensors: Mapping[str, Any], *, batch_size: int, num_rows: int) -> dict[str, tf.Tensor]:
    """The dense tensors (neither ragged nor sparse) that have a row a sample, cut to the first rows."""
    return {name: tensor if num_rows >= batch_size else tensor[:num_rows] for name, tensor in tensors.items()
            if isinstance(tensor, tf.Tensor) and tensor.shape.rank and tensor.shape[0] == batch_size}


def _matrices(*, inputs: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """The numeric tensors as float32 `[n, columns]`, if they are not too wide; outputs named as an input are renamed."""
    renamed = {f"output-{name}" if name in inputs else name: tensor for name, tensor in outputs.items()}
    reduced = {name: _thumbnail(tensor) if _is_image(tensor) and _num_columns(tensor) > _MAX_TENSOR_COLUMNS else tensor
               for name, tensor in inputs.items()}
    return {name: tensor.numpy().astype(np.float32).reshape(tensor.shape[0], -1)
            for name, tensor in {**renamed, **reduced}.items()
            if _is_real(tensor) and 0 < _num_columns(tensor) <= _MAX_TENSOR_COLUMNS}


def _label_columns(labels: Mapping[str, tf.Tensor], *, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The labels as at most 16 columns: of labels with more values a sample, such as images, the first.

    Columns are named by `names` if there is one for each; otherwise after the label, numbered from 1 if it has several.
    """
    columns: dict[str, np.ndarray] = {}
    num_columns = 0
    for name, tensor in labels.items():
        matrix = tensor.numpy().reshape(tensor.shape[0], _num_columns(tensor))
        num_columns += matrix.shape[1]
        columns |= {name if matrix.shape[1] == 1 else f"{name}_{number}": column
                    for number, column in enumerate(matrix[:, :_MAX_LABEL_COLUMNS].T, start=1)}
    if len(names) == num_columns:
        return dict(list(zip(names, columns.values()))[:_MAX_LABEL_COLUMNS])
    return dict(list(columns.items())[:_MAX_LABEL_COLUMNS])


def _thumbnails(inputs: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """The first input that is an image, made small enough; {} when there is none."""
    images = next(filter(_is_image, inputs.values()), None)
    return {} if images is None else {"thumbnails": _thumbnail(images).numpy()}


def _thumbnail(images: tf.Tensor) -> tf.Tensor:
    """Images `[n, height, width, channels]` as float32 `[n, ≤ 64, ≤ 64, 1 or 3]`, in the same proportions."""
    if images.shape[-1] == 4:  # near infrared, depth or opacity: as fourth channel of a PNG it would hide the rest
        images = images[..., :3]
    height, width = images.shape[1:3]
    scale = min(1.0, _MAX_THUMBNAIL_PIXELS / max(height, width))
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    return tf.image.resize(tf.cast(images, tf.float32), size, method="area")


def _is_image(tensor: tf.Tensor) -> bool:
    return tensor.shape.rank == 4 and tensor.shape[-1] in _IMAGE_CHANNELS and _is_real(tensor)


def _is_real(tensor: tf.Tensor) -> bool:
    return tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool


def _num_columns(tensor: tf.Tensor) -> int:
    return int(np.prod(tensor.shape[1:]))


def _joined(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joins the batches of each name that all batches have in the same shape."""
    first = batches[0]
    names = [name for name in first if all(name in batch and batch[name].shape[1:] == first[name].shape[1:]
                                           for batch in batches)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}
