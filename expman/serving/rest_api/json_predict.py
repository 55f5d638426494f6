"""Predict that came in JSON: prepared, run now or joined with others, and written in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from expman.serving.inference.predict_result import PredictResult
from expman.serving.inference.prepared_predict import PreparedPredict
from expman.serving.rest_api.json_answers import column_answer, row_answer

Outputs = Mapping[str, np.ndarray]

# So much is written in about half a millisecond, brackets and indentation included.
_MOST_ELEMENTS_AT_ONCE = 1024
_MOST_DIMENSIONS_AT_ONCE = 4


class JsonPredict:
    """See `PreparedPredict`, whose version it holds until `release`.

    Arguments:
        prepared: the request.
        has_rows: whether it lists instances, and wants predictions.

    Attributes:
        is_joined, is_quick: see `PreparedPredict`.
    """

    __slots__ = ("_has_rows", "_prepared", "is_joined", "is_quick")

    def __init__(self, prepared: PreparedPredict, *, has_rows: bool) -> None:
        self._prepared = prepared
        self._has_rows = has_rows
        self.is_joined = prepared.is_joined()
        self.is_quick = prepared.is_quick()

    def run(self, *, timeout_seconds: float | None) -> Outputs:
        """Computes the outputs.

        Raises:
            StatusError: what the computation reports.
        """
        return self._prepared.run(timeout_seconds=timeout_seconds).outputs

    def submit(self, *, timeout_seconds: float | None, on_done: Callable[[PredictResult | None, Exception | None], None]
               ) -> Callable[[], bool]:
        """See `PreparedPredict.submit`."""
        return self._prepared.submit(timeout_seconds=timeout_seconds, on_done=on_done)

    def written(self, outputs: Outputs) -> bytes:
        """The answer's JSON.

        Raises:
            StatusError: JSON cannot carry the outputs.
        """
        return row_answer(outputs) if self._has_rows else column_answer(outputs)

    def release(self) -> None:
        """Gives the version back: once."""
        self._prepared.release()


def are_written_at_once(outputs: Outputs) -> bool:
    """Tells whether outputs are so small that the thread which others wait for may write them."""
    num_elements = 0
    for array in outputs.values():
        # Lists without elements are written too.
        num_elements += array.size or math.prod(max(size, 1) for size in array.shape)
        if array.dtype.kind == "O" and num_elements <= _MOST_ELEMENTS_AT_ONCE:
            num_elements += sum(map(len, array.ravel().tolist()))
        if num_elements > _MOST_ELEMENTS_AT_ONCE or array.ndim > _MOST_DIMENSIONS_AT_ONCE:
            return False
    return True
