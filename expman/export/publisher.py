"""Writes a served model beside, verifies it, and only then publishes it under its version number."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.errors import ExportError, ServingError
from expman.export.served_model import ServedModel
from expman.export.warmup_requests import write_warmup_requests
from expman.export.written_model import written_answers
from expman.records.experiment_folder import exported_versions, publish_folder
from expman.wire.status import StatusError

_RELATIVE_TOLERANCE = 1e-4
_UNFINISHED = ".unfinished-version"


def publish(served: ServedModel, *, base_path: Path, sample: Mapping[str, np.ndarray], keep_versions: int) -> Path:
    """Exports the model as the next version of a base path that a server may be watching.

    Arguments:
        served: the model in memory.
        base_path: holds the versions 1, 2, 3 …, and is named as the model; made when absent.
        sample: a real sample of the inputs, name → array, that the written model must answer as the one in memory does.
        keep_versions: how many of the newest versions stay.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: the written model answers differently; nothing is published.
    """
    base_path.mkdir(parents=True, exist_ok=True)
    versions = exported_versions(base_path)
    unfinished = base_path / _UNFINISHED  # no number: model servers do not see it
    shutil.rmtree(unfinished, ignore_errors=True)  # left by an export that was killed
    try:
        tf.saved_model.save(served, str(unfinished), signatures=served.named_signatures)
        write_warmup_requests(served, unfinished, model_name=base_path.name, sample=sample)
        verify(served, unfinished, sample=sample)
        version = base_path / str(max(versions, default=0) + 1)
        publish_folder(unfinished, version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in versions[: max(0, len(versions) + 1 - keep_versions)]:
        shutil.rmtree(base_path / str(old))
    return version


def verify(served: ServedModel, folder: Path, *, sample: Mapping[str, np.ndarray]) -> None:
    """Loads a SavedModel anew and compares the answers of its signatures with those of the model in memory.

    Outputs that differ between two calls of the model in memory (a network that samples) are compared by shape and dtype.

    Raises:
        ExportError: it cannot be loaded or asked, a signature is missing, or an answer differs; names the output, the
            expected and the actual value.
    """
    expected, repeated = served.answers(sample), served.answers(sample)
    try:
        written = written_answers(folder, sample)
    except (StatusError, ServingError, TypeError) as error:
        raise ExportError(f"The exported model cannot be served ({error}). Nothing was published.") from error
    for name, outputs in served.outputs_of_signatures.items():
        if name not in written:
            raise ExportError(f"The exported model lacks the signature '{name}'. Nothing was published.")
        for output in outputs:
            fault = _difference(expected[output], written[name][output],
                                is_random=not _equal(expected[output], repeated[output]))
            if fault:
                raise ExportError(f"The exported model differs from the model in memory: signature '{name}', output "
                                  f"'{output}' {fault}. Nothing was published.")


def _difference(expected: np.ndarray, actual: np.ndarray, *, is_random: bool) -> str | None:
    if (expected.shape, expected.dtype) != (actual.shape, actual.dtype):
        return f"has shape {actual.shape} and dtype {actual.dtype} instead of {expected.shape} and {expected.dtype}"
    if is_random or _equal(expected, actual):
        return None
    if not np.issubdtype(expected.dtype, np.number):
        return "holds other values"
    worst = np.unravel_index(np.nanargmax(np.abs(expected.astype(np.float64) - actual.astype(np.float64))), expected.shape)
    return f"is {actual[worst]} instead of {expected[worst]} at index {tuple(map(int, worst))}"


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Equality, for floats up to rounding relative to the largest value."""
    if not np.issubdtype(one.dtype, np.inexact):
        return np.array_equal(one, other)
    scale = float(np.nanmax(np.abs(one), initial=0.0, where=np.isfinite(one)))
    return np.allclose(one, other, rtol=_RELATIVE_TOLERANCE, atol=_RELATIVE_TOLERANCE * scale, equal_nan=True)
