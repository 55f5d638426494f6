"""Compares the answers of a written version with those of the model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from expman.errors import ExportError, ServingError
from expman.export.array_difference import are_equal, described_difference, described_form_difference
from expman.export.formats.export_format import ExportFormat
from expman.export.served_model import ServedModel
from expman.wire.status import StatusError


def verify(served: ServedModel, folder: Path, *, sample: Mapping[str, np.ndarray], export_format: ExportFormat) -> None:
    """Loads a version anew and compares the answers of its signatures with those of the model in memory.

    Outputs that differ between two calls of the model in memory (a network that samples) are compared by shape and dtype.

    Arguments:
        served: the model in memory.
        folder: of the version.
        sample: inputs, name → array.
        export_format: what wrote the version.

    Raises:
        ExportError: it cannot be loaded or asked, a signature or an output is missing, or an answer differs; names the output,
            the expected and the actual value.
    """
    expected, repeated = served.answers(sample), served.answers(sample)
    try:
        written = export_format.answer(folder, sample)
    except (StatusError, ServingError, TypeError) as error:
        raise ExportError(f"The exported model cannot be served ({error}). Nothing was published.") from error
    for name, outputs in served.outputs_of_signatures.items():
        if name not in written:
            raise ExportError(f"The exported model lacks the signature '{name}'. Nothing was published.")
        for output in outputs:
            if output not in written[name]:
                raise ExportError(f"The exported model lacks the output '{output}' of the signature '{name}'. Nothing was "
                                  "published.")
            difference = _difference(expected[output], written[name][output], repeated=repeated[output],
                                     relative_tolerance=export_format.relative_tolerance)
            if difference:
                raise ExportError(f"The exported model differs from the model in memory: signature '{name}', output "
                                  f"'{output}' {difference}. Nothing was published.")


def _difference(expected: np.ndarray, actual: np.ndarray, *, repeated: np.ndarray, relative_tolerance: float) -> str | None:
    """Describes how a written answer differs; where the model in memory draws its answers anew, only form is compared."""
    if are_equal(expected, repeated, relative_tolerance=relative_tolerance):
        return described_difference(expected, actual, relative_tolerance=relative_tolerance)
    return described_form_difference(expected, actual)
