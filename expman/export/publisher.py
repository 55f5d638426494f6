"""Writes a served model beside, verifies it, and only then publishes it under its version number."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.errors import ExportError
from expman.experiment_folder import exported_versions, publish_folder
from expman.export.served_model import ServedModel

_RELATIVE_TOLERANCE = 1e-4
_UNFINISHED = ".unfinished-version"


def publish(served: ServedModel, *, base_path: Path, sample: Mapping[str, np.ndarray], keep_versions: int) -> Path:
    """Exports the model as the next version of a base path that a server may be watching.

    Arguments:
        served: the model in memory.
        base_path: holds the versions 1, 2, 3 …; made when absent.
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
        verify(served, unfinished, sample=sample)
        version = base_path / str(max(versions, default=0) + 1)
        publish_folder(unfinished, version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in versions[: max(0, len(versions) + 1 - keep_versions)]:
        shutil.rmtree(base_path / str(old))
    return version


def verify(served: ServedModel, folder: Path, *, sample: Mapping[str, np.ndarray]) -> None:
    """Loads a SavedModel in new functions and compares its answers with those of the model in memory.

    Outputs that differ between two calls of the model in memory (a network that samples) are compared by shape and dtype.

    Raises:
        ExportError: a signature is missing, or an answer differs; names the output, the expected and the actual value.
    """
    reloaded = tf.saved_model.load(str(folder))
    for name in served.named_signatures:
        if name not in reloaded.signatures:
            raise ExportError(f"The exported model lacks the signature '{name}'. Nothing was published.")
        expected, repeated = served.answers(sample, name), served.answers(sample, name)
        actual = reloaded.signatures[name](**{key: tf.constant(value) for key, value in sample.items()})
        for output, value in expected.items():
            fault = _difference(value, actual[output].numpy(), is_random=not _equal(value, repeated[output]))
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
