"""A `Client_IO` for the model of a table: sends the validation rows one by one and prints the score of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from data_pipelines.table.table import Table


class TableClient:
    """Asks for each validation row as it stands in the file; `table` is set by `Table.Client_IO`."""

    table: ClassVar[Table]

    def __init__(self, debugMode: bool) -> None:
        self._debug = debugMode
        self._rows = self.table.rows(for_training=False)
        self._labels = self.table.labels(for_training=False)
        self._answers: list[Any] = []

    def getInputData(self, idx: int) -> dict[str, np.ndarray]:
        """The raw row number `idx`, from 1, by the names of its columns."""
        if idx > len(self._labels):
            raise StopIteration
        return {name: values[idx - 1:idx] for name, values in self._rows.items()}

    def decodeResponse(self, result: Any) -> None:
        """Keeps the answer: a number in the target's units, or the name of a class."""
        answer = tf.make_ndarray(result.outputs["prediction"])[0]
        self._answers.append(answer.decode() if isinstance(answer, bytes) else float(answer))
        if self._debug:
            row = {name: values[len(self._answers) - 1] for name, values in self._rows.items()}
            print(f"{row}: {self.table.target.name} predicted {self._answers[-1]}")

    def finalize(self) -> None:
        """Prints the score of the answers."""
        if self._answers:
            labels = self._labels[:len(self._answers)]
            rows = "1 validation row" if len(labels) == 1 else f"{len(labels)} validation rows"
            print(f"served model, {rows}: {self.table.target.score_text(labels, self._answers)}")
