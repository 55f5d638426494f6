"""The column that a table is to predict: a number, in its own units outside of the network, or a class by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from data_pipelines.checks import one_of
from data_pipelines.table.columns import LARGEST_NUMBER
from data_pipelines.table.deviation import deviation_of
from data_pipelines.table.reading import TableCells, TableFormat, parse_numbers

_MOST_CLASSES_OF_NUMBERS = 10  # more different whole numbers are taken as a quantity
_MOST_CLASSES_SHARE = 0.5  # of the rows; above, words are no classes


@dataclass(frozen=True, kw_only=True)
class NumberTarget:
    """A number; the network predicts it normalised, for which its first weights have the right size.

    Attributes:
        name: the column.
        mean, standard_deviation: of the training rows.
    """

    name: str
    mean: float
    standard_deviation: float

    task: ClassVar[str] = "regression"
    n_outputs: ClassVar[int] = 1

    def labels(self, cells: TableCells, rows: np.ndarray, form: TableFormat) -> np.ndarray:
        """Float32 `[rows, 1]`, in the column's units."""
        numbers = parse_numbers(cells.frame[self.name].iloc[rows], form)
        wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST_NUMBER))
        if len(wrong):
            row = int(rows[wrong[0]])
            _check_present(cells, row, name=self.name)
            raise ValueError(f"{cells.place(row)}: the target {self.name!r} must be a number. Got "
                             f"{cells.frame[self.name].iloc[row]!r}. Correct the cell, or empty it and write "
                             "rows_without_target='leave_out'.")
        return numbers[:, None].astype(np.float32)

    def losses(self, predictions: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Squared error of the normalised target, `[batch]`."""
        return tf.square(predictions - (labels - self.mean) / self.standard_deviation)[:, 0]

    def metrics(self, predictions: tf.Tensor, labels: tf.Tensor) -> dict[str, Any]:
        """Errors in the column's units."""
        answers = self._in_units(predictions)
        return {"rmse": (keras.metrics.RootMeanSquaredError, labels, answers),
                "mean_absolute_error": tf.reduce_mean(tf.abs(answers - labels))}

    def answers(self, predictions: tf.Tensor) -> dict[str, tf.Tensor]:
        """`prediction`: float32 `[batch]`, in the column's units."""
        return {"prediction": self._in_units(predictions)[:, 0]}

    def score_text(self, labels: np.ndarray, answers: Sequence[float]) -> str:
        """The metric of some answers, with its name."""
        return f"rmse {np.sqrt(np.mean((labels[:, 0] - np.asarray(answers)) ** 2)):.4g}"

    def _in_units(self, predictions: tf.Tensor) -> tf.Tensor:
        return predictions * self.standard_deviation + self.mean


@dataclass(frozen=True, kw_only=True)
class ClassTarget:
    """One of some classes; the network predicts a logit for each.

    Attributes:
        name: the column.
        classes: their names, in the order of the logits.
    """

    name: str
    classes: Sequence[str]

    task: ClassVar[str] = "classification"

    @property
    def n_outputs(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def labels(self, cells: TableCells, rows: np.ndarray, form: TableFormat) -> np.ndarray:
        """Int64 `[rows]`, the place of each class."""
        places = pd.Index(self.classes).get_indexer(cells.frame[self.name].iloc[rows])
        if (places < 0).any():
            row = int(rows[np.argmax(places < 0)])
            _check_present(cells, row, name=self.name)
            raise ValueError(f"{cells.place(row)}: the class {cells.frame[self.name].iloc[row]!r} of target {self.name!r} occurs "
                             "in no training row, so that it cannot be learnt. Change split or seed, or remove its rows.")
        return places.astype(np.int64)

    def losses(self, predictions: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross entropy, `[batch]`."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=predictions)

    def metrics(self, predictions: tf.Tensor, labels: tf.Tensor) -> dict[str, Any]:
        """The share of rows whose likeliest class is right."""
        return {"accuracy": tf.reduce_mean(tf.cast(tf.argmax(predictions, axis=1) == labels, tf.float32))}

    def answers(self, predictions: tf.Tensor) -> dict[str, tf.Tensor]:
        """`prediction`: the likeliest class by name, str `[batch]`; `probabilities`: float32 `[batch, classes]`."""
        return {"prediction": tf.gather(tf.constant(list(self.classes)), tf.argmax(predictions, axis=1)),
                "probabilities": tf.nn.softmax(predictions)}

    def score_text(self, labels: np.ndarray, answers: Sequence[str]) -> str:
        """The metric of some answers, with its name."""
        return f"accuracy {np.mean([self.classes[label] == answer for label, answer in zip(labels, answers)]):.4g}"


TableTarget = NumberTarget | ClassTarget


def infer_target(cells: TableCells, training_rows: np.ndarray, *, name: str, task: str | None, form: TableFormat
                 ) -> TableTarget:
    """Infers the kind of the target: a number, unless there are words or at most ten different whole numbers.

    Raises:
        ValueError: the column is not there, lacks cells, or has nothing to learn.
    """
    one_of("task", task, (None, "regression", "classification"))
    if name not in cells.frame:
        raise ValueError(f"{cells.name} has no column {name!r}, the target. It has: {', '.join(cells.frame)}.")
    all_words = cells.frame[name]
    if (all_words == "").any():
        _check_present(cells, int(np.argmax(all_words == "")), name=name)
    words = all_words.iloc[training_rows]
    if words.nunique() == 1:
        raise ValueError(f"{cells.name}: the target {name!r} is {words.iloc[0]!r} in all {len(words)} training rows: there is "
                         "nothing to learn. Name another target, or change split.")
    numbers = parse_numbers(words, form)
    if (task or _likely_task(words, numbers)) == "classification":
        if words.nunique() > _MOST_CLASSES_SHARE * len(words):
            raise ValueError(f"{cells.name}: the target {name!r} has {words.nunique()} different words in {len(words)} "
                             "training rows, which are no classes. Name another target; if it is a number, correct the cells that are "
                             "none, or set decimal.")
        in_order = sorted(words.unique()) if np.isnan(numbers).any() else [
            word for _, word in sorted(set(zip(numbers, words)))]
        return ClassTarget(name=name, classes=tuple(in_order))
    found = NumberTarget(name=name, mean=float(np.nanmean(numbers)), standard_deviation=deviation_of(numbers))
    try:
        found.labels(cells, training_rows, form)
    except ValueError as error:
        raise ValueError(f"{error} If the column holds classes, write task='classification'.") from error
    if not found.standard_deviation:
        raise ValueError(f"{cells.name}: the numbers of the target {name!r}, e.g. {words.iloc[0]!r}, differ by less than "
                         "float32 can tell: there is nothing to learn. Write them in other units, or name another target.")
    return found


def _check_present(cells: TableCells, row: int, *, name: str) -> None:
    words = cells.frame[name]
    if words.iloc[row] == "":
        raise ValueError(f"{cells.place(row)}: the target {name!r} is missing, as in {int((words == '').sum())} of {len(words)} "
                         "rows. Fill it in, or leave such rows out by rows_without_target='leave_out'.")


def target_from_record(record: Mapping[str, Any]) -> TableTarget:
    """The target whose `dataclasses.asdict` is given, from JSON."""
    return ClassTarget(name=record["name"], classes=tuple(record["classes"])) if "classes" in record else NumberTarget(**record)


def _likely_task(words: pd.Series, numbers: np.ndarray) -> str:
    is_number = ~np.isnan(numbers)
    if is_number.mean() < 0.8:
        return "classification"
    is_whole = bool((numbers[is_number] % 1 == 0).all())
    return "classification" if is_whole and words.nunique() <= _MOST_CLASSES_OF_NUMBERS else "regression"
