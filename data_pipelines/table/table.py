"""Describes a table of mixed columns in a settings file: one call, whose result offers all that it needs of its data."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.batches import batched, prefetched
from data_pipelines.checks import one_of, whole_number
from data_pipelines.table import columns as table_columns
from data_pipelines.table.client import TableClient
from data_pipelines.table.dates import date_parts
from data_pipelines.table.description import described
from data_pipelines.table.kinds import KindOverrides, infer_columns
from data_pipelines.table.reading import MISSING_WORDS, TableCells, TableFormat, parse_numbers, read_cells, table_files
from data_pipelines.table.spelling import notice_of_case
from data_pipelines.table.splitting import split_rows
from data_pipelines.table.target import infer_target, target_from_record

_LOG = logging.getLogger(__name__)


def table(files: str | os.PathLike[str] | Iterable[str], *, target: str, split: float | str = 0.2, group: str | None = None,
          seed: int = 0, task: str | None = None, numbers: Sequence[str] = (), categories: Sequence[str] = (),
          dates: Mapping[str, str] | None = None, ignore: Sequence[str] = (), missing: Sequence[str] = (),
          rows_without_target: str = "refuse", delimiter: str = ",", decimal: str = ".", encoding: str = "utf-8-sig") -> Table:
    """Reads CSV files and infers what their columns hold; logs a table that shows it.

    Kinds and statistics come from the training rows alone. The numbers, categories and dates of a row become features inside
    the model, so that a client sends the raw row.

    Arguments:
        files: a file, a folder of `*.csv`, or a list of files with the same columns; the first line names them. Relative to
            the current folder, else to the module that calls this.
        target: the column to predict.
        split: the fraction of rows to validate on; or the column that says 'train', 'validation' or 'test' (in neither part).
        group: a column whose rows with the same word stay in one part.
        seed: of the split.
        task: 'regression' or 'classification'; None: a number, unless there are words or at most ten different whole numbers.
        numbers, categories, ignore: columns to be taken as numbers, as categories, or left out.
        dates: column → its format, e.g. {'born': 'DD/MM/YYYY'}.
        missing: words that stand for a missing cell, beside '', 'NA', 'N/A', 'n/a', 'NaN', 'nan', 'null', 'NULL', '<NA>' and
            '#N/A'.
        rows_without_target: 'refuse' or 'leave_out'.
        delimiter, decimal, encoding: how the files are written.

    Raises:
        ValueError, FileNotFoundError: a file or an argument is not valid; the message names file, column and remedy.

    ```python
    data = table("cars.csv", target="Miles_per_Gallon", split=0.2)
    print(data)
    ```
    """
    one_of("rows_without_target", rows_without_target, ("refuse", "leave_out"))
    whole_number("seed", seed, 0)
    if isinstance(missing, str):
        raise ValueError(f"missing must be a list of words. Got {missing!r}. Write [{missing!r}].")
    form = TableFormat(delimiter=delimiter, decimal=decimal, encoding=encoding,
                       missing_words=tuple(dict.fromkeys((*MISSING_WORDS, *missing))))
    cells = read_cells(table_files(_found_beside(sys._getframe(1).f_globals.get("__file__"), files)), form)
    if rows_without_target == "leave_out" and target in cells.frame:
        cells = cells.without(cells.frame[target] == "")
    made = Table(cells, form=form, target=target, split=split, group=group, seed=seed, task=task,
                 leaves_out=rows_without_target == "leave_out",
                 overrides=KindOverrides(numbers=numbers, categories=categories, ignored=ignore, dates=dates or {}))
    _LOG.info("%s", made)
    notice = notice_of_case(cells, made.columns_of_words)
    if notice:
        _LOG.warning("%s", notice)
    return made


def _found_beside(module: str | None, files: str | os.PathLike[str] | Iterable[str]) -> Any:
    """The files, a relative path that is not in the current folder taken from the folder of the module that names it."""
    def found(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
        beside = os.path.join(os.path.dirname(os.path.abspath(module or "")), path)
        return beside if not os.path.exists(path) and os.path.exists(beside) else path

    return found(files) if isinstance(files, (str, os.PathLike)) else [found(path) for path in files]


class Table:
    """A table whose rows are split; its methods are the functions of a settings file, under their names there.

    Arguments:
        cells: all rows.
        form, overrides: see `TableFormat`, `KindOverrides`.
        target, split, group, seed, task: see `table`.

    Attributes:
        columns: those that enter the model, with their statistics.
        left_out: column → why it does not enter.
        target: what is predicted.
    """

    def __init__(self, cells: TableCells, *, form: TableFormat, overrides: KindOverrides, target: str, split: float | str,
                 group: str | None, seed: int, task: str | None, leaves_out: bool = False) -> None:
        overrides.check(cells)
        self._cells, self._form, self._leaves_out = cells, form, leaves_out
        self._training_rows, self._validation_rows = split_rows(cells, split=split, group=group, seed=seed)
        self.target = infer_target(cells, self._training_rows, name=target, task=task, form=form)
        of_split = {column: "tells the parts or groups" for column in (split, group) if isinstance(column, str)}
        self.columns, left_out = infer_columns(
            cells, self._training_rows, names=[name for name in cells.frame if name not in (target, *of_split)], form=form,
            overrides=overrides)
        self.left_out = left_out | of_split
        for for_training in (True, False):  # a cell that does not fit is told now
            self.rows(for_training=for_training)
            self.labels(for_training=for_training)

    def __str__(self) -> str:
        return described(self._cells, training_rows=self._training_rows, validation_rows=self._validation_rows,
                         columns=self.columns, left_out=self.left_out, target=self.target, form=self._form)

    @property
    def n_outputs(self) -> int:
        """1 for a number, else the number of classes."""
        return self.target.n_outputs

    @property
    def columns_of_words(self) -> list[str]:
        """The columns, with the target, in which each word is a category or class of its own."""
        categories = [column.name for column in self.columns if column.kind == "category" and not column.holds_numbers]
        return categories + ([self.target.name] if self.target.task == "classification" else [])

    def get_input_pipeline_train_val(self, batch_size: int, raw_data_files_folder: str, shuffle_batches: bool
                                     ) -> tf.data.Dataset:
        """Batches of (raw cells by name, labels): the training rows, shuffled anew in each pass, or the validation rows.

        Where `raw_data_files_folder` names other CSV files than the table's, all their rows validate, to measure a trained
        network on them.

        Raises:
            ValueError: it names no CSV file, or other files to train on, whose statistics the table does not have.
        """
        paths = table_files(raw_data_files_folder) if raw_data_files_folder else self._cells.paths
        if {os.path.realpath(path) for path in paths} <= {os.path.realpath(path) for path in self._cells.paths}:
            features, labels = self.rows(for_training=shuffle_batches), self.labels(for_training=shuffle_batches)
        elif shuffle_batches:
            raise ValueError(f"raw_data_dir_train = '{raw_data_files_folder}' names other files than the table: "
                             f"{self._cells.name}. Name the same, so that the record of the data is right.")
        else:
            cells = self._read_like(paths)
            all_rows = np.arange(len(cells.frame))
            features = {column.served_name: self._served_cells(column, cells, all_rows) for column in self.columns}
            labels = self.target.labels(cells, all_rows, self._form)
        places = tf.data.Dataset.range(len(labels))  # a batch of rows is taken at once: much faster than one by one
        batches = batched(places, batch_size=batch_size, shuffle_buffer=len(labels) if shuffle_batches else 0)
        whole = tf.nest.map_structure(tf.constant, (features, labels))
        return prefetched(batches.map(lambda rows: tf.nest.map_structure(lambda part: tf.gather(part, rows), whole)))

    def get_input_pipeline_serving(self) -> dict[str, tf.TensorSpec]:
        """A raw row by the names of its columns: float64 for numbers, str for all else."""
        return {column.served_name: tf.TensorSpec([None], column.dtype) for column in self.columns}

    def data_preprocess(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor | dict[str, tf.Tensor]:
        """Float32 `[batch, features]`; where columns are embedded, a dict of these as `values` and of each such column,
        `category_<name>`, one-hot.
        """
        encoded = {column: column.encode(features[column.served_name]) for column in self.columns}
        embedded = {f"category_{column.served_name}": part for column, part in encoded.items() if column.is_embedded}
        values = [part for column, part in encoded.items() if not column.is_embedded]
        if not embedded:
            return tf.concat(values, axis=1)
        return ({"values": tf.concat(values, axis=1)} if values else {}) | embedded

    def get_total_loss(self, predictions: tf.Tensor, labels: tf.Tensor, sample_weights: tf.Tensor | None = None) -> tf.Tensor:
        """Mean squared error of the normalised target, or cross entropy; each row by its weight, if there are any."""
        losses = self.target.losses(predictions, labels)
        return tf.reduce_mean(losses if sample_weights is None else tf.reshape(sample_weights, [-1]) * losses)

    def get_eval_metric_ops(self, predictions: tf.Tensor, labels: tf.Tensor) -> dict[str, Any]:
        """`rmse` and `mean_absolute_error` in the target's units, or `accuracy`."""
        return self.target.metrics(predictions, labels)

    def model_outputs_postprocessing_for_serving(self, model_outputs_dict: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """`prediction`: a number in the target's units, or the name of a class, with `probabilities` of all."""
        return self.target.answers(model_outputs_dict["prediction"])

    @functools.cached_property
    def Client_IO(self) -> type[TableClient]:
        """A client that sends the validation rows and prints the score of the answers."""
        return type("Client_IO", (TableClient,), {"table": self})

    def rows(self, *, for_training: bool) -> dict[str, np.ndarray]:
        """The raw cells of a part as the served model takes them: served name → float64 or str `[rows]`.

        Raises:
            ValueError: a cell is not of its column's kind.
        """
        rows = self._training_rows if for_training else self._validation_rows
        return {column.served_name: self._served_cells(column, self._cells, rows) for column in self.columns}

    def labels(self, *, for_training: bool) -> np.ndarray:
        """The labels of a part: float32 `[rows, 1]` in the target's units, or the place of each class, int64 `[rows]`."""
        return self.target.labels(self._cells, self._training_rows if for_training else self._validation_rows, self._form)

    def recorded_statistics(self) -> dict[str, Any]:
        """Returns for JSON all that preprocessing and loss depend on."""
        return {"columns": [table_columns.as_record(column) for column in self.columns],
                "target": dataclasses.asdict(self.target)}

    def use_statistics(self, record: Mapping[str, Any]) -> None:
        """Takes over recorded statistics, with which a network was trained, and warns when the files have others by now."""
        recorded = [table_columns.from_record(column) for column in record["columns"]]
        target = target_from_record(record["target"])
        now = {column.name: column for column in self.columns} | {self.target.name: self.target}
        changed = [column.name for column in (*recorded, target) if now.get(column.name) != column]
        if changed or len(recorded) != len(self.columns):
            _LOG.warning("%s: the training rows of %s are no longer those of the start of the experiment. Its own statistics, "
                         "which the network was trained with, stay in use.", self._cells.name,
                         ", ".join(map(repr, changed)) or "some columns")
        self.columns, self.target = recorded, target

    def _read_like(self, paths: Sequence[str]) -> TableCells:
        """The cells of other files with the columns that the table needs."""
        cells = read_cells(paths, self._form)
        lacking = [name for name in (*(column.name for column in self.columns), self.target.name) if name not in cells.frame]
        if lacking:
            raise ValueError(f"{cells.name} lacks the columns {', '.join(map(repr, lacking))} of {self._cells.name}.")
        is_missing = cells.frame[self.target.name] == ""
        if self._leaves_out and is_missing.any():
            if is_missing.all():
                raise ValueError(f"{cells.name}: the target {self.target.name!r} is missing in all rows: there is nothing to "
                                 "measure. Fill it in.")
            cells = cells.without(is_missing)
            _LOG.info("%s: rows without target are left out: %d.", cells.name, int(is_missing.sum()))
        _LOG.info("%s: all %d rows validate, instead of those that were split off.", cells.name, len(cells.frame))
        return cells

    def _served_cells(self, column: table_columns.TableColumn, cells: TableCells, rows: np.ndarray) -> np.ndarray:
        words = cells.frame[column.name].iloc[rows]
        is_known = words.to_numpy() != ""
        values = words.to_numpy(object)
        if column.dtype == tf.float64:
            values = parse_numbers(words, self._form)
            is_wrong = is_known & ~(np.abs(values) <= table_columns.LARGEST_NUMBER)
        else:
            is_date = date_parts(tf.constant(list(words)), column.date_format)[1].numpy() if column.kind == "date" else is_known
            is_wrong = is_known & ~is_date
        if is_wrong.any():
            row = int(rows[np.argmax(is_wrong)])
            expected = "a number" if column.dtype == tf.float64 else f"a date such as {column.date_format}"
            raise ValueError(f"{cells.place(row)}: column {column.name!r} must hold {expected}, as in the training rows. Got "
                             f"{words.iloc[int(np.argmax(is_wrong))]!r}. Correct the cell, add it to missing=[…], or write "
                             f"categories=[{column.name!r}].")
        return values
