"""Lists the versions that an experiment exported, for a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expman.records.running_servers import start_command
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.page.links import relative_link


@dataclass(frozen=True)
class ExportedModel:
    """One version of a SavedModel."""

    name: str
    version: int
    href: str
    is_newest: bool


def exported_models(record: ExperimentRecord | None, page: Path) -> list[ExportedModel]:
    """Returns the versions of an experiment, the newest first, with links from a page; [] without an experiment."""
    if record is None:
        return []
    return [ExportedModel(name, version, relative_link(record.files.model_export_folder(name) / str(version), page),
                          is_newest=version == versions[-1])
            for name, versions in record.exported_models.items() for version in reversed(versions)]


def serve_command(record: ExperimentRecord | None) -> str:
    """Returns the command that serves an experiment; '' while it has no version."""
    return "" if record is None or not record.versions else start_command(record.folder)
