"""Writes all trainable variables after each evaluation into one table for pandas."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from expman.errors import ExperimentFolderError
from expman.records.experiment_folder import write_atomically
from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress

_COLUMNS = ("epoch", "step", "variable", "shape", "values", "averaged_values")

_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError, ImportError, pickle.UnpicklingError)


class ModelVariablesTable(AfterEvaluations):
    """Keeps a table with a row per evaluation and trainable variable, which `pandas.read_pickle` opens.

    Columns: epoch, step, variable (its path, e.g. 'dense/kernel'), shape (a tuple), values and averaged_values (float32
    arrays of that shape; averaged_values is None when the weights are not averaged). Rows that a restart computes again
    replace the older ones. The file is replaced as a whole, never left half written.

    Arguments:
        file: the pickle file.
        progress: read for the epoch, the step and `evaluated`.
        averages: gives the averages of the model's trainable variables, in their order; [] when none are kept.

    Example:
        >>> table = pandas.read_pickle("model_variables.pkl")
        >>> kernels = table[table["variable"] == "dense/kernel"].set_index("epoch")["values"]
    """

    def __init__(self, *, file: Path, progress: TrainingProgress, averages: Callable[[], Sequence[Any]]) -> None:
        super().__init__(progress=progress)
        self._file = file
        self._averages = averages
        self._table = pandas.DataFrame(columns=_COLUMNS)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._table = pandas.DataFrame(columns=_COLUMNS)
        if self._file.exists():
            try:
                kept = pandas.read_pickle(self._file)
                self._table = kept[(kept["epoch"] <= self._progress.running_epoch) & (kept["step"] <= self._progress.step)]
            except _UNREADABLE as error:
                raise ExperimentFolderError(f"{self._file} is damaged ({type(error).__name__}: {error}). Restore it from a copy, "
                                            "or remove it: the table then begins where the training goes on.") from error

    def on_evaluation(self) -> None:
        rows = pandas.DataFrame(self._rows(), columns=_COLUMNS)
        self._table = pandas.concat([self._table, rows], ignore_index=True) if len(self._table) else rows
        content = io.BytesIO()
        self._table.to_pickle(content)
        write_atomically(self._file, content.getvalue())

    def _rows(self) -> list[tuple[Any, ...]]:
        variables = self.model.trainable_variables
        averages = [_values(average) for average in self._averages()] or [None] * len(variables)
        epoch, step = self._progress.running_epoch, self._progress.step
        return [(epoch, step, variable.path, tuple(variable.shape), _values(variable), average)
                for variable, average in zip(variables, averages, strict=True)]


def _values(variable: Any) -> np.ndarray:
    return np.asarray(variable.numpy(), dtype=np.float32)
