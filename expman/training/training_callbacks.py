"""Composes what happens during a training and at the end of its epochs."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from expman.records.experiment_folder import ExperimentFolder
from expman.training.built_experiment import BuiltExperiment
from expman.training.callbacks.addon_callbacks import AddonCallbacks
from expman.training.callbacks.early_stopping import EarlyStopping
from expman.training.callbacks.embedding_projector import EmbeddingProjector
from expman.training.callbacks.epoch_start import EpochStart
from expman.training.callbacks.evaluation import Evaluation
from expman.training.callbacks.evaluation_summaries import EvaluationSummaries
from expman.training.callbacks.export_models import ExportModels
from expman.training.callbacks.hparams_summary import HparamsSummary
from expman.training.callbacks.metrics_csv import MetricsCsv
from expman.training.callbacks.model_variables_table import ModelVariablesTable
from expman.training.callbacks.plateau import Plateau
from expman.training.callbacks.profiling import Profiling
from expman.training.callbacks.step_counter import StepCounter
from expman.training.callbacks.stop_on_nan_loss import StopOnNanLoss
from expman.training.callbacks.tensorboard_scalars import TensorBoardScalars
from expman.training.progress import TrainingProgress
from expman.training.steps import weights_averaging
from expman.training.tensorboard.event_files import write_by_rank, write_weight_histograms


def training_callbacks(experiment: BuiltExperiment, *, folder: ExperimentFolder, progress: TrainingProgress, addon: AddonCallbacks,
                       exports: bool, further: Iterable[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """The callbacks in the order in which they act; checkpoint and display follow them.

    Arguments:
        addon: the user's own.
        exports: False leaves the export of versions to the caller.
        further: act when the row of an epoch stands in `metrics.csv` and its version is exported.
    """
    settings = experiment.settings
    callbacks = [Profiling(folder=folder, progress=progress, num_epochs=settings.nbEpoch)] if settings.use_profiling else []
    callbacks += computing_callbacks(experiment, progress=progress, addon=addon)
    if exports:
        callbacks.append(ExportModels(export=lambda: experiment.export(folder), progress=progress,
                                      policy=settings.export_policy))
    callbacks.append(MetricsCsv(file=folder.metrics_file, progress=progress, has_parts=bool(settings.eval_every_steps),
                                steps_per_epoch=experiment.train_data.steps_per_epoch))
    callbacks += further
    if settings.save_model_variables_to_pandas:
        callbacks.append(ModelVariablesTable(file=folder.model_variables_file, progress=progress,
                                             averages=lambda: _averages(experiment)))
    return [*callbacks, *_tensorboard_callbacks(experiment, folder=folder, progress=progress)]


def computing_callbacks(experiment: BuiltExperiment, *, progress: TrainingProgress,
                        addon: AddonCallbacks) -> list[keras.callbacks.Callback]:
    """Returns those that take part in the computation and its decisions, and write nothing: the same on all workers.

    Counting comes first, since all others read the counters; then the evaluation, since all others read its results.
    """
    settings = experiment.settings
    callbacks = [StepCounter(progress=progress)]
    if settings.useXLA:
        callbacks.append(StopOnNanLoss(progress=progress))
    callbacks += [
        EpochStart(random_seed=settings.random_seed, epoch_sums=experiment.model.epoch_sums,
                   resumed_epoch=progress.epoch if progress.step_in_epoch else None),
        Evaluation(evaluate=experiment.evaluate, progress=progress, metric=settings.earlystopping_metric,
                   mode=settings.earlystopping_mode or "min", num_epochs=settings.nbEpoch,
                   least_seconds_between=settings.eval_not_rerun_until_sec, every_steps=settings.eval_every_steps,
                   steps_per_epoch=experiment.train_data.steps_per_epoch,
                   agree=lambda is_due: bool(experiment.workers.chief_says(is_due))),
        addon]
    if settings.plateau_patience:
        callbacks.append(Plateau(progress=progress, patience=settings.plateau_patience, factor=settings.plateau_factor))
    if settings.early_stopping_patience:
        callbacks.append(EarlyStopping(progress=progress, patience=settings.early_stopping_patience,
                                       counts_evaluations=bool(settings.eval_every_steps)))
    return callbacks


def _tensorboard_callbacks(experiment: BuiltExperiment, *, folder: ExperimentFolder,
                           progress: TrainingProgress) -> list[keras.callbacks.Callback]:
    settings, model, validation_data = experiment.settings, experiment.model, experiment.validation_data
    callbacks = [
        HparamsSummary(folder=folder.validation_logs, hparams=settings.hparams, metrics=experiment.evaluation_names,
                       experiment_name=folder.path.name),
        TensorBoardScalars(train_logs=folder.train_logs, validation_logs=folder.validation_logs, progress=progress,
                           points_per_epoch=settings.nb_summary_per_train_epoch,
                           steps_per_epoch=experiment.train_data.steps_per_epoch),
        EvaluationSummaries(folder=folder.train_logs, progress=progress,
                            write=lambda: write_weight_histograms(model.trainable_variables))]
    if settings.defines("get_validation_summaries"):
        compute = tf.function(model.summaries, autograph=False)
        callbacks.append(EvaluationSummaries(folder=folder.validation_logs, progress=progress,
                                             write=lambda: write_by_rank(compute(validation_data.first_batch))))
    if settings.projector_num_samples:
        callbacks.append(EmbeddingProjector(
            folder=folder.embeddings, progress=progress, batches=validation_data.dataset,
            project=tf.function(model.projections, autograph=False, reduce_retracing=True),
            label_names=settings.reference_labels, num_samples=settings.projector_num_samples))
    return callbacks


def _averages(experiment: BuiltExperiment) -> list[tf.Variable]:
    """The averages of the trainable weights; [] when none are kept."""
    is_averaged = experiment.settings.predict_using_smoothed_parameters
    return weights_averaging.averages(experiment.model.optimizer) if is_averaged else []
