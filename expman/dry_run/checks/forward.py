"""Builds the model and computes loss and metrics of one batch."""

from __future__ import annotations

import math

from expman.dry_run.batch_description import not_finite_tensors
from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.errors import CheckError
from expman.training.data.input_data import InputData
from expman.training.distribution.replica_batches import passes
from expman.training.estimator import Estimator


def check_forward(run: DryRun) -> Finding:
    """Requires that both batches have a finite loss and that the metric which decides what 'best' means exists."""
    run.estimator = estimator = Estimator(settings=run.patched_settings)
    run.steps_per_execution = estimator.model.steps_per_execution
    model = estimator.model
    training = model.measure(passes(estimator.train_data.dataset.take(1), strategy=model.distribute_strategy))
    validation = estimator.evaluate()
    _require_finite(training["loss"], run.train_data, described_as="training")
    _require_finite(validation["loss"], run.validation_data, described_as="validation")
    for name, data in run.validation_sets.items():
        _require_finite(validation[f"{name}/loss"], data, described_as=f"validation '{name}'")
    estimator.check_metric()
    _call_optional_functions(estimator)
    others = "".join(f", {name} {value:.4g}" for name, value in validation.items() if name != "loss")
    return Finding(f"training loss {training['loss']:.4g}, validation loss {validation['loss']:.4g}{others}")


def _call_optional_functions(estimator: Estimator) -> None:
    """Calls what a training calls later: summaries and callbacks."""
    if estimator.settings.defines("get_validation_summaries"):
        estimator.model.summaries(estimator.validation_data.first_batch)
    _ = estimator.addon_callbacks


def _require_finite(loss: float, data: InputData, *, described_as: str) -> None:
    if math.isfinite(loss):
        return
    features, labels = data.first_batch[:2]
    found = [*not_finite_tensors("its features", features), *not_finite_tensors("its labels", labels)]
    cause = (f"{' and '.join(found)}. Remove or mask them in get_input_pipeline_train_val or data_preprocess." if found else
             "its values are finite: look for a logarithm, a root or a division of 0 in data_preprocess, model and "
             "get_total_loss.")
    raise CheckError(f"The loss of the {described_as} batch is {loss}: {cause}")
