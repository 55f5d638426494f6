"""Trains, evaluates, exports and asks one experiment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.errors import ExperimentError, TrainingError, TrainingStoppedError, UserCodeError, UserExceptionError
from expman.experiment_folder import ExperimentFolder, shell_safe
from expman.export.publisher import publish
from expman.settings import Settings
from expman.training import devices, weights_averaging
from expman.training.callbacks.checkpointing import Checkpointing
from expman.training.callbacks.console_progress import ConsoleProgress
from expman.training.callbacks.early_stopping import EarlyStopping
from expman.training.callbacks.evaluation import Evaluation
from expman.training.callbacks.export_models import ExportModels
from expman.training.callbacks.metrics_csv import MetricsCsv
from expman.training.callbacks.profiling import Profiling
from expman.training.callbacks.step_counter import StepCounter
from expman.training.callbacks.stop_on_signal import StopOnSignal
from expman.training.callbacks.tensorboard_scalars import TensorBoardScalars
from expman.training.callbacks.validation_summaries import ValidationSummaries
from expman.training.checkpoints import CheckpointStore
from expman.training.experiment_model import ExperimentModel
from expman.training.input_data import InputData
from expman.training.optimizer import build_optimizer
from expman.training.progress import TrainingProgress
from expman.training.seeds import seed_everything
from expman.training.serving_interface import build_served_model, serving_sample

_LOGGER = logging.getLogger(__name__)
_LONGEST_EXECUTION_STEPS = 100


class Estimator:
    """One experiment in memory, built and checked on a first batch; nothing is written before `train` or `export`.

    Arguments:
        settings: the experiment.

    Attributes:
        model: the Keras model, compiled.
        served: the model as it is exported, reading the same variables.

    Raises:
        UserCodeError: the user's functions raised, or do not fit together or to the data.
        TrainingError: the data are empty, or the devices are not there.
    """

    def __init__(self, *, settings: Settings) -> None:
        self._settings = settings
        devices.use_gpus(settings.used_gpu_IDs)
        devices.set_precision(mixed=settings.enable_mixed_precision, gpu_ids=settings.used_gpu_IDs)
        self._strategy = devices.distribution_strategy(settings.distribution_strategy, settings.used_gpu_IDs)
        self._train_data = InputData(settings, for_training=True)
        self._validation_data = InputData(settings, for_training=False)
        seed_everything(settings.random_seed)
        with self._strategy.scope():
            self.model = ExperimentModel(settings=settings, features_spec=self._train_data.dataset.element_spec[0])
            self._compile()
            self._check_on_first_batch()
        self.served = build_served_model(settings, self.model)
        self._served_sample = serving_sample(settings, self._validation_data.first_batch[0])

    def train(self, folder: ExperimentFolder, *, restart: bool = False) -> TrainingProgress:
        """Trains to the last epoch or until it no longer improves; evaluates, exports and saves as it goes.

        Arguments:
            folder: an existing folder that gets all files.
            restart: go on from the newest checkpoint of the folder.

        Returns:
            The counters at the end.

        Raises:
            TrainingStoppedError: a signal asked to stop.
            TrainingError, UserCodeError, ExportError: training failed; `state.json` says why.
        """
        settings, progress = self._settings, TrainingProgress()
        checkpoints = CheckpointStore(folder.checkpoints, network=self.model.network, optimizer=self.model.optimizer)
        if restart:
            restored = checkpoints.restore_newest(progress)
            _LOGGER.info("Training goes on after epoch %d, step %d (%s).", progress.epoch, progress.step,
                         restored or "from the start: there is no checkpoint yet")
            progress.stop_reason = ""

        def save() -> None:
            checkpoints.save(progress)
            write_state(folder, progress, status="training")

        write_state(folder, progress, status="training")
        stop_on_signal = StopOnSignal()
        callbacks = [*self._callbacks(folder, progress), Checkpointing(save=save),
                     ConsoleProgress(progress=progress, steps_per_epoch=self._train_data.steps_per_epoch), stop_on_signal]
        try:
            with _recorded_end(folder, progress):
                self.model.fit(self._train_data.dataset, epochs=settings.nbEpoch, initial_epoch=progress.epoch, shuffle=False, verbose=0,
                               callbacks=callbacks)
        finally:
            stop_on_signal.restore_handlers()
        return progress

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics on the validation data, averaged over samples, with the averaged weights if they are kept."""
        measured = self.model.evaluate(self._validation_data.dataset, verbose=0, return_dict=True)
        return {name: float(measured[name]) for name in self.model.metric_names}

    def export(self, folder: ExperimentFolder) -> str:
        """Publishes the present model as the folder's next version, after it has been verified.

        Returns:
            The version's folder, relative to the experiment's.

        Raises:
            ExportError: the written model does not answer as the one in memory.
        """
        version = publish(self.served, base_path=folder.model_export_folder(model_name(self._settings)),
                          sample=self._served_sample, keep_versions=self._settings.export_keep_versions)
        return str(version.relative_to(folder.path))

    def predict(self, inputs: Mapping[str, Any] | Any) -> dict[str, np.ndarray]:
        """What the served model answers.

        Arguments:
            inputs: a batch of raw features: name → array, or one array.
        """
        named = inputs if isinstance(inputs, Mapping) else {self._settings.input_data_name: inputs}
        return self.served.answers(named)

    def _compile(self) -> None:
        if not self.model.trainable_variables:
            raise UserCodeError(f"{self._settings.place_of('model')}: model has no trainable weights. Add a layer that has.")
        optimizer = build_optimizer(self._settings, train_data=self._train_data, loss=self.model.total_loss)
        steps_per_epoch = self._train_data.steps_per_epoch or _LONGEST_EXECUTION_STEPS
        points = self._settings.nb_summary_per_train_epoch
        self.model.compile(
            optimizer=optimizer, jit_compile=self._settings.useXLA,
            steps_per_execution=self._settings.steps_per_execution
            or max(1, min(_LONGEST_EXECUTION_STEPS, steps_per_epoch // points)))
        self.model.optimizer.build(self.model.trainable_variables)
        if self._settings.predict_using_smoothed_parameters:
            weights_averaging.start_averages_at_weights(self.model.optimizer, self.model.trainable_variables)

    def _check_on_first_batch(self) -> None:
        """Runs network, loss and metrics on real data, so that a misfit is told before anything is written."""
        batch = self._validation_data.first_batch
        test_step = tf.function(lambda data: self._strategy.run(self.model.test_step, args=(data,)), autograph=False)
        try:
            test_step(batch)
            if self._settings.declares("model", "mode"):  # its training network has outputs of its own
                tf.function(self._training_loss, autograph=False).get_concrete_function(self._train_data.first_batch)
        except (UserCodeError, tf.errors.OpError, ValueError) as error:  # ValueError: a Keras layer refuses its input
            if isinstance(error, UserCodeError) and not isinstance(error, UserExceptionError):
                raise  # a breach of the contract: the shapes would tell nothing
            reason = str(error) if isinstance(error, ExperimentError) else f"{type(error).__name__}: {error}"
            raise UserCodeError(f"{reason}\nThe first batch: {_shapes('features', batch[0])}; {_shapes('labels', batch[1])}; "
                                f"{_shapes('model outputs', self.model.network.output)}. "
                                "Make the shapes and types of these fit together.") from error
        self.model.reset_metrics()

    def _training_loss(self, batch: tuple[Any, Any]) -> tf.Tensor:
        inputs = self.model.preprocess(batch[0])
        return self.model.total_loss(inputs=inputs, outputs=self.model.network(inputs, training=True), labels=batch[1])

    def _callbacks(self, folder: ExperimentFolder, progress: TrainingProgress) -> list[keras.callbacks.Callback]:
        """What happens at the end of an epoch, in this order; checkpoint and display follow."""
        settings = self._settings
        callbacks = [
            StepCounter(progress=progress),
            Evaluation(evaluate=self.evaluate, progress=progress, metric=settings.earlystopping_metric,
                       mode=settings.earlystopping_mode or "min", least_seconds_between=settings.eval_not_rerun_until_sec),
            *self._user_callbacks(),
            ExportModels(export=lambda: self.export(folder), progress=progress, policy=settings.export_policy),
            MetricsCsv(file=folder.metrics_file, progress=progress),
            TensorBoardScalars(train_logs=folder.train_logs, validation_logs=folder.validation_logs, progress=progress,
                               points_per_epoch=settings.nb_summary_per_train_epoch,
                               steps_per_epoch=self._train_data.steps_per_epoch)]
        if settings.early_stopping_patience:
            callbacks.append(EarlyStopping(progress=progress, patience=settings.early_stopping_patience))
        if settings.defines("get_validation_summaries"):
            compute = tf.function(self.model.summaries, autograph=False)
            callbacks.append(ValidationSummaries(folder=folder.validation_logs, progress=progress,
                                                 compute=lambda: compute(self._validation_data.first_batch)))
        if settings.use_profiling:
            callbacks.append(Profiling(folder=folder.profile_logs))
        return callbacks

    def _user_callbacks(self) -> list[keras.callbacks.Callback]:
        if not self._settings.defines("addon_callbacks"):
            return []
        return list(self._settings.call("addon_callbacks", model=self.model, train_samples=self._train_data.first_batch,
                                        val_samples=self._validation_data.first_batch))


def model_name(settings: Settings) -> str:
    """The name under which the model is exported and served."""
    return shell_safe(settings.session_name)


def write_state(folder: ExperimentFolder, progress: TrainingProgress, *, status: str) -> None:
    """Writes `state.json`; status is 'training', 'finished', 'stopped' or 'failed'."""
    folder.write_state({"status": status, **progress.as_dict()})


@contextlib.contextmanager
def _recorded_end(folder: ExperimentFolder, progress: TrainingProgress) -> Iterator[None]:
    """Writes into `state.json` how a training ended, whatever ended it."""
    try:
        yield
    except BaseException as error:
        progress.stop_reason = f"{type(error).__name__}: {error}"
        is_stopped = isinstance(error, (TrainingStoppedError, KeyboardInterrupt))
        write_state(folder, progress, status="stopped" if is_stopped else "failed")
        if isinstance(error, tf.errors.OpError):
            raise TrainingError(f"Training failed after step {progress.step}: {error.message}") from error
        raise
    write_state(folder, progress, status="finished")


def _shapes(name: str, structure: Any) -> str:
    """Shapes and dtypes of a tensor or of a dict or tuple of tensors."""
    described = tf.nest.map_structure(lambda tensor: f"{keras.backend.standardize_dtype(tensor.dtype)}{tuple(tensor.shape)}",
                                      structure)
    if isinstance(described, Mapping):
        described = ", ".join(f"'{key}' {value}" for key, value in described.items())
    return f"{name} {described}"
