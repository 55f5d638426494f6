"""One run of a training in an experiment's folder, from its start or restart to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from expman.errors import TrainingError, TrainingStoppedError
from expman.records.experiment_folder import ExperimentFolder
from expman.training.built_experiment import BuiltExperiment
from expman.training.callbacks.addon_callbacks import AddonCallbacks
from expman.training.callbacks.checkpointing import Checkpointing
from expman.training.callbacks.console_progress import ConsoleProgress
from expman.training.callbacks.stop_on_signal import StopOnSignal
from expman.training.checkpoints import CheckpointStore
from expman.training.data.input_data import InputData
from expman.training.distribution.replica_batches import passes
from expman.training.finite_search import first_not_finite
from expman.training.late_epochs import told_late_epochs
from expman.training.op_errors import readable_message
from expman.training.progress import TrainingProgress
from expman.training.steps.finite_check import is_not_finite
from expman.training.steps.optimizer_state import completed_steps
from expman.training.steps.seeds import seed_epoch
from expman.training.steps.weights_averaging import notice_of_short_training
from expman.training.tensorboard.event_files import mark_restart
from expman.training.training_callbacks import training_callbacks
from expman.training.user_functions.user_callbacks import given_to_callbacks

_LOGGER = logging.getLogger(__name__)


CallbackMaker = Callable[[TrainingProgress], keras.callbacks.Callback]


@dataclasses.dataclass(frozen=True)
class RunOverrides:
    """Wishes of the caller of a training beside what the settings say.

    Attributes:
        exports_once: export the best weights when training ends or is stopped, not after each evaluation that improved;
            without effect on `export_policy` 'latest'.
        callbacks: each makes a callback from the counters of the run; those callbacks act when the row of an epoch stands in
            `metrics.csv` and its version is exported. With several workers only the chief has them: there they must not end
            the training.
    """

    exports_once: bool = False
    callbacks: tuple[CallbackMaker, ...] = ()


NO_OVERRIDES = RunOverrides()


class TrainingRun:
    """Trains an experiment's model and keeps the folder's checkpoints and `state.json` true, whatever ends it.

    Arguments:
        experiment: in memory.
        folder: an existing folder that gets all files.
        overrides: what the caller wants beside the settings.
    """

    def __init__(self, *, experiment: BuiltExperiment, folder: ExperimentFolder, overrides: RunOverrides) -> None:
        self._overrides = overrides
        self._experiment = experiment
        self._folder = folder
        self._progress = TrainingProgress()
        self._addon = AddonCallbacks(
            experiment.addon_callbacks, given=given_to_callbacks(**experiment.offered_to_callbacks()), progress=self._progress,
            num_epochs=experiment.settings.nbEpoch, place=experiment.settings.place_of("addon_callbacks"))
        self._checkpoints = CheckpointStore(folder.checkpoints, variables=experiment.model.training_state(), parts=[self._addon])

    def run(self, *, restart: bool, extend: bool) -> TrainingProgress:
        """See `Estimator.train`."""
        self._tell_short_averages()
        if restart:
            self._resume(extend=extend)
        self._write_state("training")
        stop_on_signal = StopOnSignal(agree=self._experiment.workers.any_signal)
        try:
            with self._recorded_end(), self._explained_failures():
                try:
                    self._fit([*self._callbacks(), stop_on_signal])
                except TrainingStoppedError:
                    self._save()
                    self._export_best()
                    raise
                late_epochs = told_late_epochs(self._progress, self._experiment.settings)
                if late_epochs:
                    _LOGGER.warning(late_epochs)
                self._export_best()
        finally:
            stop_on_signal.restore_handlers()
        return self._progress

    def _tell_short_averages(self) -> None:
        settings, steps_per_epoch = self._experiment.settings, self._experiment.train_data.steps_per_epoch
        if settings.predict_using_smoothed_parameters and steps_per_epoch is not None:
            notice = notice_of_short_training(decay=settings.weights_moving_average_decay,
                                              num_steps=steps_per_epoch * settings.nbEpoch)
            if notice:
                _LOGGER.info("%s", notice)

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        settings, train_data = self._experiment.settings, self._experiment.train_data
        return [
            *training_callbacks(self._experiment, folder=self._folder, progress=self._progress, addon=self._addon,
                                exports=not self._overrides.exports_once or settings.export_policy == "latest",
                                further=[make(self._progress) for make in self._overrides.callbacks]),
            Checkpointing(save=self._save, every_seconds=settings.checkpoint_every_seconds,
                          progress=self._progress),
            ConsoleProgress(progress=self._progress, num_epochs=settings.nbEpoch,
                            steps_per_epoch=train_data.steps_per_epoch)]

    def _resume(self, *, extend: bool) -> None:
        """Brings variables, counters, datasets and TensorBoard's curves back to the newest checkpoint."""
        progress = self._progress
        restored = self._checkpoints.restore_newest(progress)
        if progress.step != self._experiment.workers.chief_says(progress.step):
            raise TrainingError(f"This worker finds another checkpoint, {restored}, than the chief. {self._folder.path} must be "
                                "the same folder for all workers, on a file system that they share.")
        _LOGGER.info("Training goes on after epoch %d, step %d (%s).", progress.epoch, progress.step,
                     restored or "from the start: there is no checkpoint yet")
        self._take_up_end(self._folder.read_state(), extend=extend)
        self._mark_restart()
        self._experiment.train_data.skip_passes(progress.epoch)
        self._experiment.validation_data.skip_passes(progress.num_evaluations + progress.num_projections)
        for data in self._experiment.validation_sets.values():
            data.skip_passes(progress.num_evaluations)

    def _take_up_end(self, state: Mapping[str, Any], *, extend: bool) -> None:
        """Takes over from `state.json` what came after the checkpoint, and whether the training is over but for its record."""
        progress = self._progress
        if state.get("exported_step", 0) > progress.exported_step:
            progress.exported_step, progress.last_exported_model = state["exported_step"], state["last_exported_model"]
        # Killed before its first new checkpoint, a training that was extended is known by its state alone.
        is_extended = extend or state.get("patience_start", 0) >= progress.epoch > 0
        if progress.stopped_early and is_extended:
            _LOGGER.info("This training was ended after epoch %d (%s; the best was epoch %d). --nbEpoch begins a new patience.",
                         progress.epoch, progress.stop_reason, progress.best_epoch)
            progress.patience_start, progress.patience_start_evaluation = progress.epoch, progress.num_evaluations
            self._addon.begin_new_patience()
        progress.stopped_early = progress.stopped_early and not is_extended
        # One that is recorded as pruned is restarted by somebody who wants it to go on all the same.
        progress.is_pruned = progress.is_pruned and not extend and state.get("status") != "pruned"
        if not (progress.stopped_early or progress.is_pruned):
            progress.stop_reason = ""

    def _mark_restart(self) -> None:
        for logs in (self._folder.train_logs, self._folder.validation_logs):
            mark_restart(logs, first_step=self._progress.step + 1)

    def _fit(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """One call of Keras' `fit` for the rest of an epoch that a restart resumes, and one for all further epochs."""
        progress, dataset, model = self._progress, self._experiment.train_data.dataset, self._experiment.model

        def fit(data: tf.data.Dataset, num_epochs: int) -> None:
            with warnings.catch_warnings():
                # Of a dataset that does not know its length, Keras learns of the end of a pass when it asks for more.
                warnings.filterwarnings("ignore", message="Your input ran out of data", category=UserWarning)
                model.fit(passes(data, strategy=model.distribute_strategy, pass_number=lambda: progress.epoch),
                          epochs=num_epochs, initial_epoch=progress.epoch, shuffle=False, verbose=0, callbacks=callbacks)

        if progress.step_in_epoch:
            steps_per_execution, every_steps = model.steps_per_execution, self._experiment.settings.eval_every_steps
            if every_steps:  # the checkpoint may lie where executions of that length would run over an evaluation
                model.steps_per_execution = math.gcd(steps_per_execution, progress.step_in_epoch)
            fit(dataset.skip(progress.step_in_epoch), progress.epoch + 1)
            model.steps_per_execution = steps_per_execution
        if not (progress.stopped_early or progress.is_pruned):
            fit(dataset, self._experiment.settings.nbEpoch)

    def _export_best(self) -> None:
        """Exports the weights of the best evaluation, if no version has them yet; leaves them in memory.

        Raises:
            TrainingError: their checkpoint cannot be read.
        """
        progress = self._progress
        if self._experiment.settings.export_policy == "latest" or progress.exported_step == progress.best_step:
            return
        if progress.step != progress.best_step and not self._checkpoints.restore_variables(progress.best_step):
            raise TrainingError(f"The best weights, those of step {progress.best_step}, cannot be exported: their checkpoint "
                                f"in {self._folder.checkpoints} is missing or damaged. Restore it from a copy, or train anew.")
        progress.last_exported_model = self._experiment.export(self._folder)
        progress.exported_step = progress.best_step

    def _save(self) -> None:
        self._checkpoints.save(self._progress)
        self._write_state("training")

    def _write_state(self, status: str) -> None:
        """Writes `state.json`; status is 'training', 'finished', 'pruned', 'stopped' or 'failed'."""
        self._folder.write_state({"status": status, **self._progress.as_dict()})

    @contextlib.contextmanager
    def _recorded_end(self) -> Iterator[None]:
        """Writes into `state.json` how the training ended, whatever ended it."""
        try:
            yield
        except BaseException as error:
            self._progress.stop_reason = f"{type(error).__name__}: {error}"
            is_stopped = isinstance(error, (TrainingStoppedError, KeyboardInterrupt))
            try:
                self._write_state("stopped" if is_stopped else "failed")
            except OSError as second_error:  # a full disk: the first error is the one to tell
                _LOGGER.warning("state.json could not be written: %s", second_error)
            raise
        self._write_state("pruned" if self._progress.is_pruned else "finished")

    @contextlib.contextmanager
    def _explained_failures(self) -> Iterator[None]:
        """Tells what TensorFlow found wrong in a step in the words of this project."""
        model = self._experiment.model
        try:
            yield
        except tf.errors.OpError as error:
            place = f"Training failed in step {completed_steps(model.optimizer) + 1}, epoch {self._progress.epoch + 1}"
            if is_not_finite(error):
                found = first_not_finite(model, self._batch_of_next_step(), error=error)
                is_own = self._experiment.settings.defines("train_step")  # it may have updated some weights before
                kept = "The" if is_own else "The weights were not updated by it, and the"
                raise TrainingError(
                    f"{place}: the loss or its gradient is not finite. {found} {kept} "
                    "checkpoints are good. Correct the data or the loss, lower initial_learning_rate, or set "
                    "gradient_clip_norm; then restart.") from error
            if self._experiment.workers.number > 1:
                raise TrainingError(
                    f"{place}: another worker ended or failed; its log tells why. Restart all workers with "
                    f"--restart_interrupted --model_dir {self._folder.path}. "
                    f"TensorFlow says: {readable_message(error)}") from error
            raise TrainingError(f"{place}: {readable_message(error)}") from error
        except OSError as error:
            raise TrainingError(f"Training failed after step {self._progress.step}: {error}. What was written before is "
                                "complete: make room or mend the folder, then restart.") from error

    def _batch_of_next_step(self) -> tuple[Any, Any]:
        """The batch of the step that failed, found again as a restart would find it."""
        settings, progress = self._experiment.settings, self._progress
        data = InputData(settings, for_training=True)
        data.skip_passes(progress.epoch)
        seed_epoch(settings.random_seed, progress.epoch)
        steps_before_epoch = progress.step - progress.step_in_epoch
        return next(iter(data.dataset.skip(completed_steps(self._experiment.model.optimizer) - steps_before_epoch)))
