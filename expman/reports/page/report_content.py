"""Collects what a report shows: headline, charts, tables, pictures, models and provenance; the template lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.errors import ExperimentFolderError, UsageError
from expman.records.sweep_folder import SweepFolder
from expman.reports.compare.best_first import Order, order_of
from expman.reports.experiment_labels import short_labels
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.page.baseline_table import baseline_table
from expman.reports.page.chart_data import CurveChart, curves_of_many, curves_of_one, points_per_line
from expman.reports.page.confusion_matrix import ConfusionMatrix, ConfusionMatrixError, read_confusion_matrix
from expman.reports.page.embedded_pictures import Picture, embed_pictures, find_pictures
from expman.reports.page.exported_models import ExportedModel, exported_models, serve_command
from expman.reports.page.headline import Tile, headline_of_many, headline_of_one
from expman.reports.page.links import relative_link
from expman.reports.page.parallel_axes import ParallelAxis, parallel_axes
from expman.reports.page.report_facts import Fact, hparam_facts, package_facts, provenance_facts, settings_facts, source_texts
from expman.reports.page.report_table import ReportTable, experiments_table
from expman.reports.record_fields import field_value, split_name

_MOST_PICTURE_BYTES = 1_000_000
_MOST_OWN_COLOURS = 8  # as many as the style sheet has
_LEAST_AXIS_PIXELS, _AXIS_GAP_PIXELS, _CHARACTER_PIXELS = 100, 30, 8


@dataclass(frozen=True)
class ReportContent:
    """The content of a page, as the template lays it out.

    Attributes:
        kind: 'Experiment', 'Sweep' or 'Experiments'.
        title, folder_text, written: head of the page.
        tiles: the headline's numbers.
        status: of the one experiment; '' for several.
        errors: (experiment, what is wrong with its files).
        best: the best experiment, the one experiment, or None when nothing tells.
        best_label, best_href: its name and the link to its folder.
        serve_command: starts a server on it; '' while it has no version.
        charts: the curves.
        most_points: of a line of them.
        axes: of the parallel coordinates; [] for none.
        table: of all experiments; None for one.
        baselines: names of metrics and rows of texts, of one experiment that measured baselines.
        epochs_table: `metrics.csv` of one experiment: heads and rows of texts.
        matrix: confusion matrix of the best experiment, with `matrix_error` when its file is damaged.
        pictures: of the sweep and of the best experiment, with their links.
        models: versions of the best experiment, the newest first.
        hparams, settings, provenance, packages, sources: names and texts.
    """

    kind: str
    title: str
    folder_text: str
    written: str
    tiles: Sequence[Tile]
    status: str
    errors: Sequence[tuple[str, str]]
    best: ExperimentRecord | None
    best_label: str
    best_href: str
    serve_command: str
    charts: Sequence[CurveChart]
    most_points: int
    axes: Sequence[ParallelAxis]
    order: Order | None
    table: ReportTable | None
    baselines: tuple[Sequence[str], Sequence[Sequence[str]]] | None
    epochs_table: tuple[Sequence[str], Sequence[Sequence[str]]] | None
    matrix: ConfusionMatrix | None
    matrix_error: str
    pictures: Sequence[tuple[Picture, str]]
    models: Sequence[ExportedModel]
    hparams: Sequence[Fact]
    settings: Sequence[Fact]
    provenance: Sequence[Fact]
    packages: Sequence[Fact]
    sources: Sequence[Fact] = field(default_factory=list)

    @property
    def has_charts(self) -> bool:
        """Tells whether the page needs the scripts that draw."""
        return bool(self.charts or self.axes)

    @property
    def has_own_colours(self) -> bool:
        """True when each of the experiments, being few, has a colour of its own."""
        return self.table is not None and len(self.table.rows) <= _MOST_OWN_COLOURS

    @property
    def has_rank_colours(self) -> bool:
        """True when the colours of lines tell the rank of their experiments."""
        return self.table is not None and self.order is not None and not self.has_own_colours

    @property
    def best_epoch(self) -> int | None:
        """Of the one experiment."""
        return field_value(self.best, "best_epoch") or None if self.best and not self.table else None

    @property
    def axes_width_pixels(self) -> int:
        """So much that the names of the axes stand beside each other."""
        longest = max((len(axis.title) for axis in self.axes), default=0)
        return max(_LEAST_AXIS_PIXELS, _CHARACTER_PIXELS * longest + _AXIS_GAP_PIXELS) * len(self.axes)

    @property
    def axes_json(self) -> list[dict[str, Any]]:
        """Returns what the page's script draws of the parallel axes."""
        return [axis.as_json() for axis in self.axes]

    @property
    def is_thinned(self) -> bool:
        """True when curves are drawn with fewer points than epochs."""
        return any(len(line.values) > self.most_points for chart in self.charts for line in chart.lines.values())


def collect_content(records: Sequence[ExperimentRecord], *, folders: Sequence[Path], page: Path) -> ReportContent:
    """Reads and computes all that the page of some experiments shows.

    Arguments:
        records: the experiments, at least one.
        folders: as the user gave them.
        page: the file to be written, from which the links go.
    """
    sweep = _sweep_record(folders)
    order = _order(records, sweep)
    records = order.sorted(records) if order else list(records)
    is_one = len(records) == 1
    labels = short_labels(records)
    has_best = is_one or (order is not None and field_value(records[0], order.name) is not None)
    best = records[0] if has_best else None
    metric = split_name(order.name)[1] if order else ""
    charts = curves_of_one(records[0], first=metric) if is_one else curves_of_many(records, first=metric)
    matrix, matrix_error = _confusion_matrix(best)
    own_folders = [folder for folder in folders if sweep] + ([best.folder] if best else [])
    pictures = [path for folder in own_folders for path in find_pictures(folder)]
    return ReportContent(
        kind="Experiment" if is_one else "Sweep" if sweep else "Experiments",
        title=_title(records, sweep=sweep, folders=folders), folder_text=", ".join(map(str, folders)),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        tiles=headline_of_one(records[0]) if is_one else headline_of_many(records, order=order, labels=labels),
        status=records[0].status if is_one else "",
        errors=[(label, record.reason) for label, record in zip(labels, records) if record.errors],
        best=best, best_label=labels[0], best_href=relative_link(records[0].folder, page),
        serve_command=serve_command(best), charts=charts, most_points=points_per_line(charts),
        axes=[] if is_one or not order else parallel_axes(records, metric=order.name), order=order,
        table=None if is_one else experiments_table(records, order=order, labels=labels,
                                                    href=lambda path: relative_link(path, page)),
        baselines=baseline_table(records[0]) if is_one else None,
        epochs_table=_epochs_table(records[0]) if is_one else None, matrix=matrix, matrix_error=matrix_error,
        pictures=[(picture, relative_link(picture.path, page))
                  for picture in embed_pictures(pictures, most_bytes=_MOST_PICTURE_BYTES)],
        models=exported_models(best, page), hparams=hparam_facts(best) if best else [], settings=settings_facts(records),
        provenance=provenance_facts(records), packages=package_facts(records),
        sources=source_texts(records[0]) if is_one else [])


def _sweep_record(folders: Sequence[Path]) -> dict[str, Any]:
    """Reads the record of a sweep when the one folder is that of a sweep; {} otherwise."""
    sweep = SweepFolder(folders[0])
    if len(folders) > 1 or not sweep.record_file.is_file():
        return {}
    try:
        return sweep.read_record() or {"metric": None}
    except ExperimentFolderError:
        return {"metric": None}  # it is a sweep all the same


def _order(records: Sequence[ExperimentRecord], sweep: dict[str, Any]) -> Order | None:
    """By the metric of the sweep, else by that of most experiments."""
    metric, mode = sweep.get("metric"), sweep.get("mode")
    if isinstance(metric, str) and metric:
        try:
            return order_of(records, f"{metric}:{mode}" if mode in ("min", "max") else metric)
        except UsageError:
            pass  # no trial was evaluated yet
    return order_of(records, None)


def _title(records: Sequence[ExperimentRecord], *, sweep: dict[str, Any], folders: Sequence[Path]) -> str:
    if len(records) == 1:
        return str(records[0].settings.get("session_name") or records[0].name)
    if len(folders) == 1:
        return folders[0].resolve().name
    return f"{len(records)} experiments"


def _confusion_matrix(record: ExperimentRecord | None) -> tuple[ConfusionMatrix | None, str]:
    path = record.files.confusion_matrix if record else None
    if path is None or not path.exists():
        return None, ""
    try:
        return read_confusion_matrix(path), ""
    except ConfusionMatrixError as error:
        return None, f"{path.name} is damaged: {error}"


def _epochs_table(record: ExperimentRecord) -> tuple[Sequence[str], Sequence[Sequence[str]]] | None:
    table = record.metrics_table
    return (table.columns, table.rows) if table and table.rows else None
