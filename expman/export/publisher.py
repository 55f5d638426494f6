"""Writes a version beside the others, verifies it, and only then publishes it under its number."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from expman.export.formats.export_format import export_format
from expman.export.served_model import ServedModel
from expman.export.verification import verify
from expman.export.warmup_requests import write_warmup_requests
from expman.records.experiment_folder import exported_versions, publish_folder

_UNFINISHED = ".unfinished-version"


def publish(served: ServedModel, *, base_path: Path, sample: Mapping[str, np.ndarray], keep_versions: int,
            format_name: str = "saved_model") -> Path:
    """Exports the model as the next version of a base path that a server may be watching.

    Arguments:
        served: the model in memory.
        base_path: holds the versions 1, 2, 3 …, and is named as the model; made when absent.
        sample: a real sample of the inputs, name → array, that the written model must answer as the one in memory does.
        keep_versions: how many of the newest versions stay.
        format_name: what a version consists of: the name of a file of `expman/export/formats`.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: the model cannot be written in this format, or the written model answers differently; nothing is
            published.
    """
    chosen_format = export_format(format_name)
    base_path.mkdir(parents=True, exist_ok=True)
    versions = exported_versions(base_path)
    unfinished = base_path / _UNFINISHED  # no number: model servers do not see it
    shutil.rmtree(unfinished, ignore_errors=True)  # left by an export that was killed
    try:
        chosen_format.write(served, unfinished)
        write_warmup_requests(served, unfinished, model_name=base_path.name, sample=sample)
        verify(served, unfinished, sample=sample, export_format=chosen_format)
        version = base_path / str(max(versions, default=0) + 1)
        publish_folder(unfinished, version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in versions[: max(0, len(versions) + 1 - keep_versions)]:
        shutil.rmtree(base_path / str(old))
    return version
