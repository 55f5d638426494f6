"""Runs signatures that take serialized tf.Examples, as those of Classify and Regress do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from expman.runtimes.predictor import Predictor
from expman.wire.protos import input_pb2
from expman.wire.status import Code, StatusError


def run_on_examples(predictor: Predictor, examples: input_pb2.Input, *, input_tensors: Collection[str],
                    output_tensors: Sequence[str], timeout_seconds: float | None) -> tuple[int, dict[str, np.ndarray]]:
    """Feeds the examples of a request to one input, or the same ones to several.

    Returns:
        (number of examples, tensor name -> value).

    Raises:
        StatusError: INVALID_ARGUMENT, there is no example; or what the computation itself reports.
    """
    serialized = _serialized(examples)
    values = predictor.run(dict.fromkeys(input_tensors, serialized), output_tensors, timeout_seconds=timeout_seconds)
    return len(serialized), dict(zip(output_tensors, values))


def _serialized(examples: input_pb2.Input) -> np.ndarray:
    """The examples as `bytes` in an array of dtype object, shape [number of examples]."""
    if examples.WhichOneof("kind") == "example_list_with_context":
        # Messages one behind the other are merged when they are parsed, the later one first in rank.
        context = examples.example_list_with_context.context.SerializeToString()
        messages = [context + example.SerializeToString() for example in examples.example_list_with_context.examples]
    else:
        messages = [example.SerializeToString() for example in examples.example_list.examples]
    if not messages:
        raise StatusError(Code.INVALID_ARGUMENT, "Input is empty.")
    array = np.empty(len(messages), dtype=object)
    array[:] = messages
    return array
