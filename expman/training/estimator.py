"""Trains, evaluates, exports and asks one experiment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.errors import ExperimentError, TrainingError, TrainingStoppedError, UserCodeError, UserExceptionError
from expman.experiment_folder import ExperimentFolder, shell_safe
from expman.export.publisher import publish
from expman.settings import Settings
from expman.training import devices, weights_averaging
from expman.training.batch_hash import batch_hash
from expman.training.callbacks.checkpointing import Checkpointing
from expman.training.callbacks.console_progress import ConsoleProgress
from expman.training.callbacks.early_stopping import EarlyStopping
from expman.training.callbacks.embedding_projector import EmbeddingProjector
from expman.training.callbacks.epoch_start import EpochStart
from expman.training.callbacks.evaluation import Evaluation
from expman.training.callbacks.export_models import ExportModels
from expman.training.callbacks.metrics_csv import MetricsCsv
from expman.training.callbacks.model_variables_table import ModelVariablesTable
from expman.training.callbacks.profiling import Profiling
from expman.training.callbacks.step_counter import StepCounter
from expman.training.callbacks.stop_on_signal import StopOnSignal
from expman.training.callbacks.tensorboard_scalars import TensorBoardScalars
from expman.training.callbacks.validation_summaries import ValidationSummaries
from expman.training.checkpoints import CheckpointStore
from expman.training.event_files import mark_restart
from expman.training.experiment_model import ExperimentModel
from expman.training.input_data import InputData
from expman.training.optimizer import build_optimizer
from expman.training.pass_dataset import PassDataset
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

    def train(self, folder: ExperimentFolder, *, restart: bool = False, extend: bool = False) -> TrainingProgress:
        """Trains to the last epoch or until it no longer improves; evaluates, exports and saves as it goes.

        Arguments:
            folder: an existing folder that gets all files.
            restart: go on from the newest checkpoint of the folder; on the CPU the end is the same, to the bit, as without
                the interruption, if the user's code draws its random numbers from seeds.
            extend: go on even after early stopping.

        Returns:
            The counters at the end.

        Raises:
            TrainingStoppedError: a signal asked to stop.
            TrainingError, UserCodeError, ExportError: training failed; `state.json` says why.
        """
        progress = TrainingProgress()
        checkpoints = CheckpointStore(folder.checkpoints, variables=self.model.training_state())
        if restart:
            restored = checkpoints.restore_newest(progress)
            _LOGGER.info("Training goes on after epoch %d, step %d (%s).", progress.epoch, progress.step,
                         restored or "from the start: there is no checkpoint yet")
            progress.stop_reason, progress.stopped_early = "", progress.stopped_early and not extend
            for logs in (folder.train_logs, folder.validation_logs):
                mark_restart(logs, first_step=progress.step + 1)
            self._train_data.skip_passes(progress.epoch)
            self._validation_data.skip_passes(progress.num_evaluations)

        def save() -> None:
            checkpoints.save(progress)
            write_state(folder, progress, status="training")

        write_state(folder, progress, status="training")
        stop_on_signal = StopOnSignal()
        callbacks = [*self._callbacks(folder, progress), self._checkpointing(save), self._display(progress), stop_on_signal]
        try:
            with _recorded_end(folder, progress):
                self._fit(progress, callbacks)
        except TrainingStoppedError:
            checkpoints.save(progress)
            raise
        finally:
            stop_on_signal.restore_handlers()
        return progress

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics on the validation data, averaged over samples, with the averaged weights if they are kept."""
        measured = self.model.evaluate(PassDataset(self._validation_data.dataset), verbose=0, return_dict=True)
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

    def first_batch_hashes(self) -> dict[str, str | None]:
        """Hash of the first batch of each dataset; None when no seed determines it."""
        batches = {"training data": self._train_data.first_batch, "validation data": self._validation_data.first_batch}
        return {name: None if self._settings.random_seed is None else batch_hash(batch) for name, batch in batches.items()}

    def _fit(self, progress: TrainingProgress, callbacks: list[keras.callbacks.Callback]) -> None:
        """One call of Keras' `fit` for the rest of an epoch that a restart resumes, and one for all further epochs."""
        def fit(dataset: tf.data.Dataset, num_epochs: int) -> None:
            self.model.fit(PassDataset(dataset, pass_number=lambda: progress.epoch), epochs=num_epochs,
                           initial_epoch=progress.epoch, shuffle=False, verbose=0, callbacks=callbacks)

        if progress.step_in_epoch:
            fit(self._train_data.dataset.skip(progress.step_in_epoch), progress.epoch + 1)
        if not progress.stopped_early:
            fit(self._train_data.dataset, self._settings.nbEpoch)

    def _checkpointing(self, save: Callable[[], None]) -> Checkpointing:
        return Checkpointing(save=save, every_seconds=self._settings.checkpoint_every_seconds)

    def _display(self, progress: TrainingProgress) -> ConsoleProgress:
        return ConsoleProgress(progress=progress, num_epochs=self._settings.nbEpoch,
                               steps_per_epoch=self._train_data.steps_per_epoch)

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
            EpochStart(random_seed=settings.random_seed, running_means=self.model.running_means,
                       resumed_epoch=progress.epoch if progress.step_in_epoch else None),
            Evaluation(evaluate=self.evaluate, progress=progress, metric=settings.earlystopping_metric,
                       mode=settings.earlystopping_mode or "min", num_epochs=settings.nbEpoch,
                       least_seconds_between=settings.eval_not_rerun_until_sec),
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
        if settings.projector_num_samples:
            callbacks.append(EmbeddingProjector(
                folder=folder.embeddings, progress=progress, batches=self._validation_data.dataset,
                project=tf.function(self.model.projections, autograph=False, reduce_retracing=True),
                label_names=settings.reference_labels, num_samples=settings.projector_num_samples))
        if settings.save_model_variables_to_pandas:
            callbacks.append(ModelVariablesTable(file=folder.model_variables_file, progress=progress, averages=self._averages))
        if settings.use_profiling:
            callbacks.insert(0, Profiling(folder=folder, progress=progress, num_epochs=settings.nbEpoch))
        return callbacks

    def _averages(self) -> list[tf.Variable]:
        """The averages of the trainable weights; [] when none are kept."""
        return weights_averaging.averages(self.model.optimizer) if self._settings.predict_using_smoothed_parameters else []

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
