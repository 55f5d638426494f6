"""Reads the columns of a table, each a Keras tensor, as numbers and as categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from model_zoo.checked_hparams import whole_number

_SINGLE_COLUMN = "features"
_MOST_CROSSED = 2 ** 20  # combinations of two columns, each with weights of its own


@dataclass
class Columns:
    """The columns of a table by kind.

    Attributes:
        numbers: name → float32 `[batch, width]`.
        categories: name → (int32 `[batch]` from 0 to size − 1, size).
    """

    numbers: dict[str, keras.KerasTensor] = field(default_factory=dict)
    categories: dict[str, tuple[keras.KerasTensor, int]] = field(default_factory=dict)


def read_columns(data: keras.KerasTensor | Mapping[str, keras.KerasTensor], hparams: Mapping[str, Any]) -> Columns:
    """Sorts the columns by their dtype.

    Floats are numbers. Strings are categories, hashed into `hash_buckets` (hparam, 128). Integers are categories, too: those
    of a column `c` with the hparam `categories_c` are its numbers from 0 to `categories_c` − 1, and all others share one
    further category; without that hparam they are hashed.

    Arguments:
        data: name → `[batch]` or `[batch, 1]`, for floats also `[batch, width]`; or one float tensor `[batch, width]`.
        hparams: see above.

    Raises:
        ValueError: a column has another shape or dtype, or a hyperparameter names no column of integers.
    """
    named = dict(data) if isinstance(data, Mapping) else {_SINGLE_COLUMN: data}
    columns = Columns()
    for name, tensor in named.items():
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        is_number = dtype.startswith(("float", "bfloat"))
        width = 1 if len(tensor.shape) == 1 else tensor.shape[-1] if len(tensor.shape) == 2 else None
        if width is None or (width != 1 and not is_number):
            raise ValueError(f"Column '{name}' must be [batch] or [batch, {'width' if is_number else '1'}]. Got "
                             f"{dtype} of shape {tensor.shape}. Change it in data_preprocess.")
        if is_number:
            columns.numbers[name] = tensor if len(tensor.shape) == 2 else ops.expand_dims(tensor, axis=1)
        else:
            scalars = ops.squeeze(tensor, axis=1) if len(tensor.shape) == 2 else tensor
            columns.categories[name] = _categories(scalars, hparams, name=name, dtype=dtype)
    prefix = "categories_"
    unused = [name for name in hparams if name.startswith(prefix) and not (
        name[len(prefix):] in columns.categories
        and keras.backend.standardize_dtype(named[name[len(prefix):]].dtype) != "string")]
    if unused:
        raise ValueError(f"hparams['{unused[0]}'] names no column of integers. The columns are: {', '.join(named)}.")
    return columns


def cross(columns: Columns, crossed: str) -> dict[str, tuple[keras.KerasTensor, int]]:
    """The combinations of pairs of columns as further categories, each pair of values its own, without collisions.

    Arguments:
        columns: what `read_columns` returned. A float column wider than 1 counts as one-hot.
        crossed: pairs such as `"education*occupation, region*age"`; '' for none.

    Returns:
        `education_x_occupation` → (int32 `[batch]`, number of combinations).

    Raises:
        ValueError: a pair is not written so, names no column or a number, or has too many combinations.
    """
    return dict(_crossed(columns, pair.strip()) for pair in crossed.split(",") if pair.strip())


def _crossed(columns: Columns, pair: str) -> tuple[str, tuple[keras.KerasTensor, int]]:
    names = [name.strip() for name in pair.split("*")]
    if len(names) != 2:
        raise ValueError(f"hparams['crosses'] must hold pairs such as 'education*occupation, region*age'. Got {pair!r}.")
    (first, first_size), (second, second_size) = (_as_categories(columns, name) for name in names)
    size = first_size * second_size
    if size > _MOST_CROSSED:
        raise ValueError(f"hparams['crosses']: {pair} has {size} combinations; at most {_MOST_CROSSED} are allowed. Lower "
                         "hash_buckets, or give the number of categories of an integer column, e.g. categories_region = 20.")
    return "_x_".join(names), (first * second_size + second, size)


def _as_categories(columns: Columns, name: str) -> tuple[keras.KerasTensor, int]:
    if name in columns.categories:
        return columns.categories[name]
    if name in columns.numbers and columns.numbers[name].shape[-1] > 1:
        one_hot = columns.numbers[name]
        return ops.cast(ops.argmax(one_hot, axis=-1), "int32"), one_hot.shape[-1]
    if name in columns.numbers:
        raise ValueError(f"hparams['crosses'] names '{name}', which is a number. Cut it into buckets in data_preprocess, e.g. "
                         "by tf.searchsorted, and return them as integers.")
    raise ValueError(f"hparams['crosses'] names '{name}', which is no column. The columns are: "
                     f"{', '.join([*columns.numbers, *columns.categories])}.")


def _categories(column: keras.KerasTensor, hparams: Mapping[str, Any], *, name: str,
                dtype: str) -> tuple[keras.KerasTensor, int]:
    size_name = f"categories_{name}"
    if dtype != "string" and size_name in hparams:
        size = whole_number(hparams, size_name)
        column = ops.cast(ops.where(ops.logical_and(column >= 0, column < size), column, size), "int32")
        return column, size + 1
    size = whole_number(hparams, "hash_buckets", 128)
    return ops.cast(keras.layers.Hashing(size, name=f"{name}_bucket")(column), "int32"), size
