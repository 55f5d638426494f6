"""Brings a run of MLflow up to what an experiment's folder holds."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expman.records.experiment_folder import ExperimentFolder, exported_versions
from expman.tracking.run_content import MetricsRow, RunContent
from expman.tracking.tracking_server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOGGER = logging.getLogger(__name__)
_METRICS_PER_BATCH = 1000  # MLflow's bound
_EPOCH = "epoch"  # a metric of each row, by which the server tells how far it is


class MlflowMirror:
    """One experiment and its run.

    What the server has already is asked of the server, so that after an outage, a kill or a restart nothing is missing and
    nothing is there twice. In the folder only the run's id is kept.

    Arguments:
        folder: of the experiment.
        server: a named one.

    Attributes:
        sent_step: the newest step whose metrics the server is known to have.
    """

    def __init__(self, folder: ExperimentFolder, *, server: TrackingServer) -> None:
        self._folder = folder
        self._server = server
        self._client: MlflowClient  # while it is connected
        self._is_connected = False
        self._run_id = ""
        self._known_versions: set[tuple[str, str]] = set()
        self.sent_step = 0

    def sync(self, *, is_over: bool) -> None:
        """Sends what the server lacks.

        Arguments:
            is_over: no process trains the experiment any more: the run ends, too.

        Raises:
            Exception: whatever MLflow raises; the next call begins by asking what the server has.
        """
        content = RunContent(self._folder)
        try:
            if not self._is_connected:
                self._client = self._server.client()
                self._open_run(content, is_over=is_over)
                self._is_connected = True
            self._send_rows(content.rows_after(self.sent_step))
            self._send_versions()
            if is_over:
                self._end_run(content)
        except BaseException:
            self._is_connected = False
            raise

    def _open_run(self, content: RunContent, *, is_over: bool) -> None:
        """Finds the run or makes it, and sees to it that it has what does not change."""
        from mlflow.entities import Param
        client = self._client
        run = self._existing_run()
        if run is None:
            experiment_id = self._experiment_id(content.experiment_name)
            run = client.create_run(experiment_id, start_time=content.start_ms, run_name=self._folder.path.name,
                                    tags=content.tags())
            self._folder.write_mirror({"tracking_uri": self._server.public_uri, "experiment_id": experiment_id,
                                       "run_id": run.info.run_id})
        self._run_id = run.info.run_id
        _LOGGER.info("MLflow: %s", self._server.run_page(experiment_id=run.info.experiment_id, run_id=self._run_id))
        lacking = {name: value for name, value in content.params().items() if name not in run.data.params}
        client.log_batch(self._run_id, params=[Param(name, value) for name, value in lacking.items()])
        if not is_over:
            client.set_tag(self._run_id, "status", "training")
            if run.info.status != "RUNNING":
                client.update_run(self._run_id, status="RUNNING")
        present = {artifact.path for artifact in client.list_artifacts(self._run_id)}
        self._send_files([path for path in content.sources() if path.name not in present])
        self.sent_step = self._newest_step() if _EPOCH in run.data.metrics else 0
        self._known_versions = {(version.name, version.tags.get("version", ""))
                                for version in client.search_model_versions(f"run_id = '{self._run_id}'")}

    def _newest_step(self) -> int:
        return max(metric.step for metric in self._client.get_metric_history(self._run_id, _EPOCH))

    def _existing_run(self) -> Any:
        """The run that the folder names, if this server has it."""
        from mlflow.exceptions import MlflowException
        kept = self._folder.read_mirror()
        if kept.get("tracking_uri") != self._server.public_uri:
            return None
        try:
            run = self._client.get_run(kept["run_id"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            run = None
        if run is None or run.info.lifecycle_stage == "deleted":
            _LOGGER.info("The MLflow server no longer has the run %s; a new one takes its place.", kept["run_id"])
            return None
        return run

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name)
        except MlflowException as error:  # another trial was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def _send_rows(self, rows: Sequence[MetricsRow]) -> None:
        for batch in _batches(rows):
            self._log_metrics(batch)
            self.sent_step = batch[-1].step

    def _log_metrics(self, rows: Sequence[MetricsRow]) -> None:
        from mlflow.entities import Metric
        self._client.log_batch(self._run_id, metrics=[
            Metric(name, value, row.time_ms, row.step) for row in rows for name, value in row.values.items()])

    def _send_versions(self) -> None:
        """Registers each exported version, with its files, as one of the model's in the registry."""
        for base_path in sorted(self._folder.exports.glob("*")):
            for number in exported_versions(base_path):
                if (base_path.name, str(number)) not in self._known_versions:
                    self._register(base_path / str(number))

    def _register(self, version: Path) -> None:
        name, place = version.parent.name, str(version.relative_to(self._folder.path))
        try:
            self._client.log_artifacts(self._run_id, str(version), artifact_path=place)
        except FileNotFoundError:
            if version.exists():
                raise
            return  # newer versions have taken its place meanwhile
        self._ensure_model(name)
        self._client.create_model_version(
            name, source=f"runs:/{self._run_id}/{place}", run_id=self._run_id, await_creation_for=0,
            tags={"version": version.name, "experiment": self._folder.path.name})
        self._known_versions.add((name, version.name))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _end_run(self, content: RunContent) -> None:
        client, folder = self._client, self._folder
        status, own_status, reason = content.end()
        best = content.best()
        if best:
            self._log_metrics([best])
        self._send_files([path for path in (folder.identity_file, folder.state_file, folder.metrics_file) if path.exists()])
        self._send_pictures_and_report()
        client.set_tag(self._run_id, "status", own_status)
        client.set_tag(self._run_id, "reason", reason)
        client.set_terminated(self._run_id, status)

    def _send_pictures_and_report(self) -> None:
        from expman.reports.page.embedded_pictures import find_pictures
        from expman.reports.page.html_report import write_report
        for picture in find_pictures(self._folder.path):
            self._client.log_artifact(self._run_id, str(picture), artifact_path="pictures")
        if self._folder.trial_file.exists():
            return  # 1.4 MB each, most of it the plotting library; the sweep has a report of its own
        with tempfile.TemporaryDirectory() as folder:
            page = write_report([self._folder.path], file=Path(folder) / self._folder.report_page.name)
            self._client.log_artifact(self._run_id, str(page))

    def _send_files(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), artifact_path=path.name)
            else:
                self._client.log_artifact(self._run_id, str(path))


def _batches(rows: Sequence[MetricsRow]) -> Iterator[Sequence[MetricsRow]]:
    """Rows in portions that MLflow takes; none is cut, so that an epoch is there as a whole or not at all."""
    portion: list[MetricsRow] = []
    for row in rows:
        if portion and sum(len(each.values) for each in portion) + len(row.values) > _METRICS_PER_BATCH:
            yield portion
            portion = []
        portion.append(row)
    if portion:
        yield portion
