"""Reads the kinds of a time series' columns, and what stands for their missing cells, from `record_defaults_values`."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CellDefault:
    """The kind of a column, and what stands for its missing cells (None: none may be missing)."""

    holds_text: bool
    value: str | float | None = None


def cell_defaults(record_defaults_values: Sequence[Any] | None, labels: Sequence[str],
                  num_label_columns: int) -> list[CellDefault]:
    """A default for each column.

    Arguments:
        record_defaults_values: one entry a column: a number, a text, `float`, `str`, or a list of one of these. None: `str`
            for the first `num_label_columns` columns, `float` for the rest.
        labels: what errors call the columns.
        num_label_columns: of these, how many are labels.

    Raises:
        ValueError: the number of entries is wrong, an entry is none of these, a column that is no label holds text, or the
            labels are texts and numbers.
    """
    if record_defaults_values is None:
        return [CellDefault(holds_text=place < num_label_columns) for place in range(len(labels))]
    if isinstance(record_defaults_values, str) or len(record_defaults_values) != len(labels):
        raise ValueError(f"record_defaults_values must be a list with one value for each of the {len(labels)} selected "
                         f"columns. Got {record_defaults_values!r}.")
    defaults = [_default(entry, label) for entry, label in zip(record_defaults_values, labels)]
    texts = [label for default, label in zip(defaults[num_label_columns:], labels[num_label_columns:]) if default.holds_text]
    if texts:
        raise ValueError(f"record_defaults_values: {', '.join(texts)} would hold text, but blocks hold numbers. Give a "
                         "number, or leave the column out by selected_cols, or make it a label by labels_cols_nb.")
    if len({default.holds_text for default in defaults[:num_label_columns]}) > 1:
        raise ValueError(f"record_defaults_values: some of the labels {', '.join(labels[:num_label_columns])} are texts and "
                         "some numbers. Declare all as text ('' or str) and convert with tf.strings.to_number in "
                         "per_sample_preprocess_fn.")
    return defaults


def _default(entry: Any, label: str) -> CellDefault:
    value = entry[0] if isinstance(entry, (list, tuple)) and len(entry) == 1 else entry
    if value is str or value is float:
        return CellDefault(value is str)
    if isinstance(value, str):
        return CellDefault(True, value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return CellDefault(False, float(value))
    raise ValueError(f"record_defaults_values: the entry of {label} must be a number, a text, float or str. Got {entry!r}.")
