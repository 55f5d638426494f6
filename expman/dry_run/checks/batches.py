"""Reads one training and one validation batch and shows what is in them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from expman.dry_run.batch_description import described_tensors, not_finite_tensors
from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.resize_record import PIPELINE
from expman.errors import ExperimentError
from expman.settings.loading import Settings
from expman.training.data.class_weights import with_class_weights
from expman.training.data.input_data import InputData
from expman.training.distribution.devices import model_device


def check_batches(run: DryRun) -> Finding:
    """Builds the user's datasets; values that are not finite are warned of, since a loss may mask them."""
    run.settings = with_class_weights(run.settings)
    with run.resizes.by(PIPELINE):
        run.train_data = InputData(run.settings, for_training=True)
        run.validation_data = InputData(run.settings, for_training=False)
        run.validation_sets = {name: InputData(run.settings, for_training=False, set_name=name)
                               for name in run.settings.validation_sets}
    named = [(f"validation '{name}'", data) for name, data in run.validation_sets.items()]
    details = []
    for described_as, data in (("training", run.train_data), ("validation", run.validation_data), *named):
        features, labels = data.first_batch[:2]
        details += described_tensors(f"{described_as} features", features,
                                     may_lack_values=_fills_missing_values(run.settings, features))
        details += described_tensors(f"{described_as} labels", labels)
    summary = f"{_length(run.train_data)} for training, {_length(run.validation_data)} for validation"
    summary += "".join(f", {_length(data)} for {described_as}" for described_as, data in named)
    return Finding(summary, tuple(details))


def _fills_missing_values(settings: Settings, features: Any) -> bool:
    """Returns whether `data_preprocess` leaves only finite values; one that raises is told by the check of the forward pass."""
    try:
        inputs = settings.call("data_preprocess", features=features, model_placement=model_device(settings.used_gpu_IDs))
        return not not_finite_tensors("inputs", inputs)
    except (ExperimentError, tf.errors.OpError, ValueError, TypeError):
        return False


def _length(data: InputData) -> str:
    return "an unknown number" if data.steps_per_epoch is None else f"{data.steps_per_epoch:,} batches"
