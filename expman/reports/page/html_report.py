"""Writes one HTML page about an experiment, a sweep or any set of experiments; it needs no network and no server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from expman.errors import UsageError
from expman.records.experiment_folder import ExperimentFolder, write_atomically
from expman.reports.experiment_search import read_experiments
from expman.reports.page.report_content import ReportContent, collect_content
from expman.reports.page.report_rendering import render_page


def write_report(folders: Sequence[str | os.PathLike[str]], *, file: str | os.PathLike[str] | None = None) -> Path:
    """Writes a page with curves, hyperparameters, tables, pictures, provenance and links to the exported models.

    Arguments:
        folders: of experiments, of sweeps, or with experiments below them at any depth.
        file: the page; by default `report.html` in the folder, or in the current one when there are several.

    Returns:
        The page's path.

    Raises:
        UsageError: a folder holds no experiment, or the page cannot be written.
    """
    records = read_experiments(folders)
    page = Path(file) if file is not None else ExperimentFolder(folders[0] if len(folders) == 1 else "").report_page
    if page.is_dir():
        raise UsageError(f"--output '{page}' is a folder. Give a file, for instance '{ExperimentFolder(page).report_page}'.")
    content: ReportContent = collect_content(records, folders=[Path(folder) for folder in folders], page=page)
    try:
        write_atomically(page, render_page(content).encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"The report '{page}' cannot be written ({error.strerror}). "
                         "Give another file by --output.") from error
    return page
