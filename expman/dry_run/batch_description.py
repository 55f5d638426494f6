"""Describes the tensors of a batch in words: shapes, ranges, values that are not finite, distribution of the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_MOST_CLASSES = 20


def described_tensors(name: str, structure: Any, *, may_lack_values: bool = False) -> list[str]:
    """A line for each tensor, with its distribution where the name says that these are labels, and a line for each warning.

    Arguments:
        name: what the tensors are, e.g. 'training labels'.
        structure: a tensor, or a dict or tuple of tensors.
        may_lack_values: whether NaN and infinity do not reach the network, so that there is nothing to warn of.
    """
    lines = []
    for member, array in named_arrays(name, structure):
        line = f"{member} {_dtype(array)}{list(array.shape)}: {_range(array)}"
        if name.endswith("labels"):
            line += f"; {_distribution(array)}"
        lines.append(line)
        lines += [f"warning: {member} {error}" for error in _oddities(array, may_lack_values=may_lack_values)]
    return lines


def not_finite_tensors(name: str, structure: Any) -> list[str]:
    """For each tensor that holds NaN or infinite values, how many, e.g. 'features hold 3 NaN'."""
    counts = ((member, _count_not_finite(array)) for member, array in named_arrays(name, structure))
    return [f"{member} hold {count}" for member, count in counts if count]


def named_arrays(name: str, structure: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a structure as NumPy arrays; of sparse and ragged tensors the stored values."""
    members = structure.items() if isinstance(structure, Mapping) else [("", structure)]
    for member, part in members:
        flat = tf.nest.flatten(part)
        for index, tensor in enumerate(flat):
            label = f"{name} '{member}'" if member else name
            values = tensor.values if isinstance(tensor, tf.SparseTensor) else getattr(tensor, "flat_values", tensor)
            yield f"{label} {index}" if len(flat) > 1 else label, np.asarray(values)


def _range(array: np.ndarray) -> str:
    if array.size == 0:
        return "empty"
    if not _is_numeric(array):
        return f"{len(set(array.ravel().tolist()))} different values"
    finite = array[np.isfinite(array)]
    numbers = f"{_number(finite.min())} … {_number(finite.max())}" if finite.size else "no finite value"
    count = _count_not_finite(array)
    return f"{numbers}, {count}" if count else numbers


def _distribution(array: np.ndarray) -> str:
    if array.size == 0 or not _is_numeric(array):
        return "no numbers"
    if array.dtype.kind in "biu":
        classes, counts = np.unique(array, return_counts=True)
        if len(classes) <= _MOST_CLASSES:
            return "counts " + ", ".join(f"{_number(value)}: {count}" for value, count in zip(classes, counts))
    finite = array[np.isfinite(array)].astype(np.float64)
    return f"mean {_number(finite.mean())}, standard deviation {_number(finite.std())}" if finite.size else "no finite value"


def _oddities(array: np.ndarray, *, may_lack_values: bool) -> Iterator[str]:
    if array.size == 0:
        yield "hold no value at all"
        return
    count = _count_not_finite(array)
    if count and not may_lack_values:
        yield f"hold {count}: training stops when they reach the loss"
    if array.size > 1 and (array == array.flat[0]).all():
        yield f"are all {_number(array.flat[0])}: they tell nothing; check how they are read, and whether they are shuffled"


def _count_not_finite(array: np.ndarray) -> str:
    if not _is_numeric(array):
        return ""
    counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _is_numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biufc"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def _dtype(array: np.ndarray) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name
