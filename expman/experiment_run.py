"""One experiment from start to end; TensorFlow is imported only when one starts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.errors import UsageError
from expman.records.experiment_folder import ExperimentFolder, write_atomically
from expman.records.recorded_settings import warn_of_other_settings
from expman.runtimes.tensorflow_notices import start_tensorflow
from expman.settings.class_weights import restored
from expman.settings.data_statistics import restore_statistics, statistics_of
from expman.settings.loading import Settings, load_settings
from expman.settings.user_files import keep_files, shown_file, shown_modules, warn_of_changed_files
from expman.settings.user_imports import imports_of_experiment
from expman.settings.user_module import UserModule
from expman.tracking.background_mirror import mirrored
from expman.tracking.run_content import experiment_name
from expman.tracking.tracking_server import TrackingServer

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrialOverrides:
    """The values with which a sweep overrides a settings file.

    Attributes:
        folder: the experiment's folder, which exists; None: a new one in `workingFolder`.
        gpu_ids: replaces `used_gpu_IDs`; None: as the settings have it.
        pruner: asked after each evaluation; a text ends the training as pruned, for that reason.
        exports_once: see `RunOverrides`.
    """

    folder: ExperimentFolder | None = None
    gpu_ids: Sequence[int] | None = None
    pruner: Callable[[], str | None] = lambda: None
    exports_once: bool = False

    def applied_to(self, settings: Settings) -> Settings:
        """Returns the settings with what the trial replaces."""
        if self.gpu_ids is None:
            return settings
        return dataclasses.replace(settings, values={**settings.values, "used_gpu_IDs": list(self.gpu_ids)})

    def for_run(self, log: Callable[[], None]) -> Any:
        """Returns what the training itself has to know: the `RunOverrides` with the callbacks for the pruner and the logger."""
        from expman.training.callbacks.pruning import Pruning
        from expman.training.callbacks.tracker_logging import TrackerLogging
        from expman.training.training_run import RunOverrides
        return RunOverrides(exports_once=self.exports_once, callbacks=(
            lambda progress: Pruning(pruner=self.pruner, progress=progress),
            lambda progress: TrackerLogging(log=log, progress=progress)))


@imports_of_experiment()
def train(settings_file: str | os.PathLike[str], *, hparams: Mapping[str, Any] | None = None,
          hparams_origin: str = "command line", trial: TrialOverrides | None = None) -> dict[str, Any]:
    """Trains a new experiment.

    Arguments:
        settings_file: the user's settings file.
        hparams: values that replace those of the file's `hparams`.
        hparams_origin: where they come from, for the experiment's record.
        trial: what a sweep wants otherwise than the settings say.

    Returns:
        See `experiments_manager.run`.

    Raises:
        ExperimentError: one of the user's files, the data or the machine is at fault; before training starts nothing has
            been written.
    """
    UserModule(Path(settings_file), described_as="settings file")  # tells at once, before TensorFlow takes its seconds
    start_tensorflow()
    trial = trial or TrialOverrides()
    settings = trial.applied_to(load_settings(settings_file, overrides=hparams, origin=hparams_origin))
    server = TrackingServer(settings.tracking_uri)
    estimator = _build_estimator(settings)
    _check_tracking(server, settings, workers=estimator.workers, folder=trial.folder)
    baselines = _baselines(estimator)
    folder = _new_folder(settings, workers=estimator.workers, prepared=trial.folder)
    found = {"not_deterministic_because": estimator.not_deterministic_because, "lookup_tables": estimator.table_hashes(),
             "baseline": baselines, "class_weights": estimator.settings.class_weights}
    if any(found.values()) and estimator.workers.is_chief:
        folder.write_identity({**folder.read_identity(), **{name: value for name, value in found.items() if value}})
    with _kept_by_chief(folder, settings, estimator=estimator, server=server) as log:
        progress = estimator.train(folder, overrides=trial.for_run(log))
    return _result(folder, progress)


@imports_of_experiment()
def restart(model_dir: str | os.PathLike[str], *, num_epochs: int | None = None,
            trial: TrialOverrides | None = None) -> dict[str, Any]:
    """Goes on with an interrupted experiment, from its folder alone.

    Arguments:
        model_dir: the experiment's folder.
        num_epochs: replaces `nbEpoch`, to extend a finished experiment.
        trial: what a sweep wants otherwise than the settings say.

    Raises:
        ExperimentError: the folder holds no experiment, or the experiment is finished.
    """
    folder = ExperimentFolder.open(model_dir)
    identity = folder.read_identity()
    state = folder.read_state()
    if state.get("status") == "finished" and state["epoch"] >= (num_epochs or 0):
        raise UsageError(f"{folder.path} is finished after {state['epoch']} epochs. "
                         f"To extend it, add --nbEpoch with a number above {state['epoch']}.")
    extend = num_epochs is not None
    num_epochs = num_epochs or identity["settings"]["nbEpoch"]
    trial = trial or TrialOverrides()
    settings = trial.applied_to(load_experiment(folder))
    settings = dataclasses.replace(settings, values={**settings.values, "nbEpoch": num_epochs})
    server = TrackingServer(settings.tracking_uri)
    estimator = _build_estimator(settings)
    estimator.check_same_tables(identity.get("lookup_tables"))
    _check_tracking(server, settings, workers=estimator.workers, folder=folder)
    if estimator.workers.is_chief:
        folder.write_identity({**identity, "settings": {**identity["settings"], "nbEpoch": num_epochs}})
    with _kept_by_chief(folder, settings, estimator=estimator, server=server, is_restart=True) as log:
        progress = estimator.train(folder, restart=True, extend=extend, overrides=trial.for_run(log))
    return _result(folder, progress)


def load_experiment(folder: ExperimentFolder) -> Settings:
    """Loads the settings and the model of an experiment from the copies in its folder."""
    identity = folder.read_identity()
    if identity["current_folder"] != os.getcwd():
        _LOGGER.warning("The experiment was started in %s; relative paths in its settings now start in %s.",
                        identity["current_folder"], os.getcwd())
    start_tensorflow()
    kept = identity.get("user_files", {})
    warn_of_changed_files(kept, folder=folder.user_modules)
    settings_file, model_file = (shown_file(Path(identity[name]), kept=kept, folder=folder.user_modules)
                                 for name in ("settings_file", "model_file"))
    roots = [Path(identity[name]).parent for name in ("settings_file", "model_file")]
    settings = load_settings(folder.settings_file, overrides=identity["hparam_overrides"], model_file=folder.model_file,
                             original_file=settings_file, original_model_file=model_file, import_folders=[folder.user_modules],
                             shown_files=shown_modules(roots, kept=kept, folder=folder.user_modules))
    given_by_sweep = ["used_gpu_IDs"] if folder.trial_file.exists() else []
    warn_of_other_settings(settings.values, recorded=identity["settings"], except_for=["nbEpoch", *given_by_sweep],
                           file=folder.settings_file)
    restore_statistics(settings, identity.get("data_statistics", []))
    return restored(settings, identity.get("class_weights", {}))


def _build_estimator(settings: Settings) -> Any:
    import keras

    from expman.training.estimator import Estimator
    keras.utils.clear_session()  # frees the graphs of an earlier experiment in this process
    estimator = Estimator(settings=settings)
    estimator.prepare()
    return estimator


def _baselines(estimator: Any) -> dict[str, Any]:
    """Returns what the chief of the workers measures of baselines, if the settings ask for it."""
    from expman.training.first_checks.baseline import told_baselines
    return told_baselines(estimator.settings, estimator.model) if estimator.workers.is_chief else {}


def _new_folder(settings: Settings, *, workers: Any, prepared: ExperimentFolder | None) -> ExperimentFolder:
    """The folder of a new experiment, which the chief of the workers makes unless a sweep has prepared it."""
    path = ""
    if workers.is_chief:
        folder = prepared or ExperimentFolder.create(
            working_folder=settings.workingFolder, session_name=settings.session_name, hparams=settings.hparams)
        _record(folder, settings)
        path = str(folder.path)
    return ExperimentFolder(workers.chief_says_text(path))


def _check_tracking(server: TrackingServer, settings: Settings, *, workers: Any, folder: ExperimentFolder | None) -> None:
    """Asks whether the experiment can be mirrored; not for a trial, which a server that went away must not end.

    Raises:
        TrackingError: it cannot.
    """
    is_trial = folder is not None and folder.trial_file.exists()
    if workers.is_chief and not is_trial:
        server.check(experiment_name=experiment_name(folder, session_name=settings.session_name))


@contextlib.contextmanager
def _kept_by_chief(folder: ExperimentFolder, settings: Settings, *, estimator: Any, server: TrackingServer,
                   is_restart: bool = False) -> Iterator[Callable[[], None]]:
    """Locks the folder, logs it and records the data during a training; the other workers leave that to the chief.

    Gives the function that tells the tracker's logger of something new.
    """
    print(f"experiment {folder.path}", flush=True)
    if not estimator.workers.is_chief:
        yield lambda: None
        return
    with (folder.locked_for_training(), mirrored(folder, server=server) as log,
          _data_recorded(folder, settings, estimator=estimator, is_restart=is_restart)):
        yield log


def _record(folder: ExperimentFolder, settings: Settings) -> None:
    """Copies the user's files into the experiment's folder and writes its identity."""
    import tensorflow as tf

    from expman.records.provenance import collect_provenance
    write_atomically(folder.settings_file, settings.file.read_bytes())
    write_atomically(folder.model_file, settings.model_file.read_bytes())
    kept_files = settings.files_to_keep()
    keep_files({**kept_files, **settings.user_modules()}, folder=folder.user_modules)
    folder.write_identity({
        "name": folder.path.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        "current_folder": os.getcwd(),
        "settings_file": str(settings.original_file.resolve()),
        "model_file": str(settings.model_file.resolve()),
        "user_files": {relative_path: str(file) for relative_path, file in kept_files.items()},
        "hparams": {name: {"value": value, "origin": settings.hparam_origins[name]}
                    for name, value in settings.hparams.items()},
        "hparam_overrides": dict(settings.hparam_overrides),
        "settings": dict(settings.values),
        "data_statistics": statistics_of(settings),
        **collect_provenance(settings_file=settings.original_file,
                             accelerators=[device.name for device in tf.config.get_visible_devices("GPU")])})


def _data_recorded(folder: ExperimentFolder, settings: Settings, *, estimator: Any, is_restart: bool = False
                   ) -> AbstractContextManager[None]:
    """Fingerprints the data beside the training, for `experiment.json`."""
    from expman.records.data_record import data_recorded
    return data_recorded(
        folder, data_folders=settings.data_folders,
        first_batch_hashes=estimator.first_batch_hashes, is_restart=is_restart)


def _result(folder: ExperimentFolder, progress: Any) -> dict[str, Any]:
    """Returns what a sweep or a caller from Python wants to know; `status` is hyperopt's word for success."""
    return {**(progress.best_metrics or progress.last_metrics or {}), "status": "ok", "global_step": progress.step,
            "sessionFolder": str(folder.path),
            "last_exported_model": str(folder.path / progress.last_exported_model) if progress.last_exported_model else None}
