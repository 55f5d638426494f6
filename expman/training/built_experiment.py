"""One experiment in memory: its data, its model, what it measures and what it exports."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.errors import TrainingError, UserCodeError
from expman.export.publisher import publish
from expman.export.served_experiment import build_served_model
from expman.export.served_inputs import serving_sample
from expman.export.served_model import ServedModel
from expman.records.experiment_folder import ExperimentFolder, shell_safe
from expman.settings.loading import Settings
from expman.training import lookup_tables
from expman.training.data.batch_hash import batch_hash
from expman.training.data.class_weights import with_class_weights
from expman.training.data.input_data import InputData, described_validation_data
from expman.training.distribution import devices
from expman.training.distribution.replica_batches import passes
from expman.training.distribution.replicas import check_replicas
from expman.training.distribution.workers import Workers
from expman.training.experiment_model import ExperimentModel
from expman.training.first_checks.first_batch import check_on_first_batch, check_train_step, check_validation_set
from expman.training.first_checks.label_pairing import check_label_pairing
from expman.training.steps import weights_averaging
from expman.training.steps.execution_length import ending_at, steps_per_execution
from expman.training.steps.op_determinism import settle_determinism
from expman.training.steps.optimizer import build_optimizer
from expman.training.steps.optimizer_state import completed_steps
from expman.training.steps.seeds import seed_everything
from expman.training.user_functions.user_callbacks import user_callbacks


class BuiltExperiment:
    """One experiment in memory, built and checked on a first batch; nothing is written before it is exported.

    Arguments:
        settings: the experiment.

    Attributes:
        settings: the experiment.
        train_data, validation_data: its datasets.
        validation_sets: its further validation data, by name.
        model: the Keras model, compiled.
        workers: this process among those that train the experiment together.
        not_deterministic_because: why determinism was left off although it was wanted; '' otherwise.
        served: the model as it is exported, reading the same variables.

    Raises:
        UserCodeError: the user's functions raised, or do not fit together or to the data.
        TrainingError: the data are empty, or the devices are not there.
    """

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        devices.use_gpus(settings.used_gpu_IDs)
        devices.set_precision(mixed=settings.enable_mixed_precision, gpu_ids=settings.used_gpu_IDs)
        strategy = devices.distribution_strategy(settings.distribution_strategy, settings.used_gpu_IDs)
        check_replicas(settings, num_replicas=strategy.num_replicas_in_sync)
        self.workers = Workers(strategy)
        settings = self.settings = with_class_weights(settings)
        self.train_data = InputData(settings, for_training=True)
        self.validation_data = InputData(settings, for_training=False)
        self.validation_sets = {name: InputData(settings, for_training=False, set_name=name)
                                for name in settings.validation_sets}
        seed_everything(settings.random_seed)
        with strategy.scope():
            self.model = ExperimentModel(settings=settings, features_spec=self.train_data.dataset.element_spec[0])
            self._compile()
            self.not_deterministic_because = settle_determinism(settings, self.model, self.train_data.first_batch)
            if self.not_deterministic_because:  # for the data that are built again later, too
                self.settings = dataclasses.replace(settings, values={**settings.values, "deterministic_ops": False})
            forward_seconds = check_on_first_batch(settings, self.model, train_batch=self.train_data.first_batch,
                                                   validation_batch=self.validation_data.first_batch,
                                                   validation_spec=self.validation_data.dataset.element_spec)
            for name, data in self.validation_sets.items():
                check_validation_set(settings, self.model, name=name, batch=data.first_batch, spec=data.dataset.element_spec)
            check_train_step(settings, self.model, train_spec=self.train_data.dataset.element_spec)
        check_label_pairing(settings, self.model, self.train_data.first_batch)
        self.model.steps_per_execution = settings.steps_per_execution or steps_per_execution(
            forward_seconds=forward_seconds, steps_per_epoch=self.train_data.steps_per_epoch,
            num_replicas=strategy.num_replicas_in_sync)
        if settings.eval_every_steps and strategy.num_replicas_in_sync == 1:
            self.model.steps_per_execution = ending_at(settings.eval_every_steps, num_steps=self.model.steps_per_execution)

    @functools.cached_property
    def served(self) -> ServedModel:
        """See the class; built when it is first asked for, so that training can be tried apart from it."""
        return build_served_model(self.settings, outputs_of=self.model.call,
                                  lookup_tables=lookup_tables.table_layers(self.model.network))

    @functools.cached_property
    def served_sample(self) -> dict[str, np.ndarray]:
        """A few validation samples as served inputs, name → array."""
        return serving_sample(self.settings, self.validation_data.first_batch[0])

    @functools.cached_property
    def addon_callbacks(self) -> list[keras.callbacks.Callback]:
        """The user's own callbacks."""
        return user_callbacks(self.settings, **self.offered_to_callbacks())

    def offered_to_callbacks(self) -> dict[str, Any]:
        """The arguments that `addon_callbacks` may ask for."""
        return {"model": self.model, "train_samples": self.train_data.first_batch,
                "val_samples": self.validation_data.first_batch}

    def prepare(self) -> None:
        """Builds what is served and the user's callbacks, so that a misfit is told before a training writes anything.

        Raises:
            UserCodeError: the served inputs or outputs do not fit to the model or to the data, or the callbacks to the
                settings; or the summaries are none.
            TrainingError: see `check_metric`.
        """
        self.check_metric()
        _ = self.served, self.served_sample, self.addon_callbacks
        if self.settings.defines("get_validation_summaries"):
            tf.function(self.model.summaries, autograph=False).get_concrete_function(self.validation_data.first_batch)

    def check_metric(self) -> None:
        """Raises TrainingError when no evaluation gives the metric that decides what 'best' means."""
        metric, names = self.settings.earlystopping_metric, self.evaluation_names
        if metric not in names:
            raise TrainingError(f"{self.settings.file}: earlystopping_metric = '{metric}' is none of the validation metrics: "
                                f"{', '.join(names)}. Set it to one of them.")

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics on the validation data, averaged over samples, with the averaged weights if they are kept.

        Those of a named set are named `<name>/loss` and `<name>/<metric>`.
        """
        return self.measure_validation_data() | self.measure_validation_sets()

    def measure_validation_data(self) -> dict[str, float]:
        """The part of `evaluate` that has no name."""
        return self._measure(self.validation_data)

    def measure_validation_sets(self) -> dict[str, float]:
        """The part of `evaluate` on the named sets."""
        return {f"{set_name}/{name}": value for set_name, data in self.validation_sets.items()
                for name, value in self._measure(data).items()}

    @property
    def evaluation_names(self) -> list[str]:
        """The names of what `evaluate` returns."""
        names = self.model.metric_names
        return [*names, *(f"{set_name}/{name}" for set_name in self.validation_sets for name in names)]

    def _measure(self, data: InputData) -> dict[str, float]:
        return self.model.measure(passes(data.dataset, strategy=self.model.distribute_strategy), callbacks=data.watches(
            num_trained_steps=lambda: completed_steps(self.model.optimizer)))

    def export(self, folder: ExperimentFolder) -> str:
        """Publishes the present model as the folder's next version, after it has been verified.

        Returns:
            The version's folder, relative to the experiment's.

        Raises:
            ExportError: the written model does not answer as the one in memory.
        """
        version = publish(self.served, base_path=folder.model_export_folder(model_name(self.settings)),
                          sample=self.served_sample, keep_versions=self.settings.export_keep_versions)
        return str(version.relative_to(folder.path))

    def table_hashes(self) -> list[str]:
        """See `lookup_tables.table_hashes`."""
        return lookup_tables.table_hashes(self.model.network)

    def check_same_tables(self, recorded: Sequence[str] | None) -> None:
        """See `lookup_tables.check_same_tables`."""
        lookup_tables.check_same_tables(self.model.network, recorded=recorded, place=self.settings.place_of("model"))

    def first_batch_hashes(self) -> dict[str, str | None]:
        """Hash of the first batch of each dataset; None when no seed determines it."""
        batches = {"training data": self.train_data.first_batch, "validation data": self.validation_data.first_batch}
        batches |= {described_validation_data(name): data.first_batch for name, data in self.validation_sets.items()}
        return {name: None if self.settings.random_seed is None else batch_hash(batch) for name, batch in batches.items()}

    def _compile(self) -> None:
        if not self.model.trainable_variables:
            raise UserCodeError(f"{self.settings.place_of('model')}: model has no trainable weights. Add a layer that has.")
        optimizer = build_optimizer(self.settings, network=self.model.network, train_data=self.train_data,
                                    loss=self.model.total_loss)
        self.model.compile(optimizer=optimizer)
        self.model.optimizer.build(self.model.trainable_variables)
        if self.settings.predict_using_smoothed_parameters:
            weights_averaging.start_averages_at_weights(self.model.optimizer, self.model.trainable_variables)


def model_name(settings: Settings) -> str:
    """The name under which the model is exported and served."""
    return shell_safe(settings.session_name)
