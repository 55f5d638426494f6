"""Runs network, loss and metrics on real data, so that a misfit is told before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import keras
import tensorflow as tf

from expman.errors import TrainingError, UserCodeError, UserExceptionError
from expman.settings.loading import Settings
from expman.settings.user_traceback import last_user_line
from expman.training.data.batch_form import unpacked
from expman.training.data.input_data import described_validation_data
from expman.training.experiment_model import ExperimentModel
from expman.training.first_checks.weighted_loss import check_sample_weights
from expman.training.op_errors import readable_message
from expman.training.steps.execution_length import forward_seconds
from expman.training.steps.op_determinism import refuses_determinism
from expman.training.steps.optimizer_group import OptimizerGroup, PartsError

_MISFITS = (UserCodeError, tf.errors.OpError, ValueError, TypeError)  # ValueError: a Keras layer refuses its input


def check_on_first_batch(settings: Settings, model: ExperimentModel, *, train_batch: tuple[Any, Any],
                         validation_batch: tuple[Any, Any], validation_spec: tuple[Any, Any]) -> float:
    """Computes what an evaluation computes, for one batch; no weight changes.

    Arguments:
        settings: the experiment.
        model: compiled.
        train_batch, validation_batch: (features, labels).
        validation_spec: the specs of all validation batches.

    Returns:
        The time of a forward pass in seconds.

    Raises:
        UserCodeError: the user's functions raised, or do not fit together or to the data; with the shapes of the batch.
        TrainingError: an operation has no deterministic implementation.
    """
    _check_compilable(settings, validation_batch[0])
    test_step = _test_step(model)
    for batch, described_as in ((train_batch, "training data"), (validation_batch, "validation data")):
        check_sample_weights(settings, model, batch, described_as=described_as)
    try:
        if model.distribute_strategy.num_replicas_in_sync > 1:
            tf.function(model.make_metrics, autograph=False).get_concrete_function(validation_batch)
        _trace(test_step, validation_spec, example=validation_batch)
        test_step(validation_batch)
        # A train_step has losses of its own; outside of a replica, gradients of mirrored weights cannot be asked for.
        if model.runs_without_strategy and not settings.defines("train_step"):
            _require_gradient(settings, model, train_batch)
    except _MISFITS as error:
        _raise_with_shapes(error, settings=settings, model=model, batch=validation_batch, described_as="The first batch")
    seconds = forward_seconds(test_step, validation_batch)
    model.reset_metrics()
    return seconds


def check_validation_set(settings: Settings, model: ExperimentModel, *, name: str, batch: tuple[Any, ...], spec: tuple[Any, ...]
                         ) -> None:
    """Computes what an evaluation on one of `validation_sets` computes, for one batch.

    Arguments:
        settings: the experiment.
        model: compiled, and checked on the first batch of the other data.
        name: of the set.
        batch: its first.
        spec: the specs of all its batches.

    Raises:
        UserCodeError: the data do not fit to the user's functions, or a metric has the name of one of the set.
    """
    place = f"{settings.file}: validation_sets['{name}']"
    check_sample_weights(settings, model, batch, described_as=described_validation_data(name))
    test_step = _test_step(model)
    try:
        _trace(test_step, spec, example=batch)
        test_step(batch)
    except _MISFITS as error:
        _raise_with_shapes(error, settings=settings, model=model, batch=batch, described_as=f"{place}: the first batch")
    taken = [metric for metric in model.metric_names if metric.startswith(f"{name}/") and metric[len(name) + 1:] in model.metric_names]
    if taken:
        raise UserCodeError(f"{place}: '{taken[0]}' is a metric of the other validation data already. Rename the set.")
    model.reset_metrics()


def _test_step(model: ExperimentModel) -> Any:
    """An evaluation's step outside of `evaluate`."""
    strategy = model.distribute_strategy
    return model.test_step if model.runs_without_strategy else tf.function(lambda data: tf.nest.map_structure(
        strategy.experimental_local_results, strategy.run(model.test_step, args=(data,))), autograph=False)


def _raise_with_shapes(error: Exception, *, settings: Settings, model: ExperimentModel, batch: tuple[Any, ...],
                       described_as: str) -> NoReturn:
    """Raises a misfit anew, with the shapes of the batch that it was met with.

    Raises:
        UserCodeError: always, but for
        TrainingError: an operation has no deterministic implementation, which is no matter of shapes.
    """
    if refuses_determinism(error):
        raise TrainingError(f"{last_user_line(error) or settings.file}: {readable_message(error)}") from error
    if isinstance(error, UserCodeError) and not isinstance(error, UserExceptionError):
        raise error  # a breach of the contract: the shapes would tell nothing
    reason = readable_message(error) if isinstance(error, tf.errors.OpError) else str(error)
    if not isinstance(error, UserExceptionError):
        reason = (f"{last_user_line(error) or settings.file}: model, get_total_loss or get_eval_metric_ops cannot take the data: "
                  f"{reason}")
    raise UserCodeError(f"{reason}\n{described_as}: {_shapes('features', batch[0])}; {_shapes('labels', batch[1])}; "
                        f"{_shapes('model outputs', model.network.output)}. "
                        "Make the shapes and types of these fit together.") from error


def check_train_step(settings: Settings, model: ExperimentModel, *, train_spec: tuple[Any, ...]) -> None:
    """Traces a training step where the user has several optimizers or a `train_step`; no weight changes.

    Arguments:
        settings: the experiment.
        model: compiled.
        train_spec: the specs of all training batches.

    Raises:
        UserCodeError: `train_step` raised or returned what the contract does not allow, or an optimizer gets no gradient.
    """
    if not isinstance(model.optimizer, OptimizerGroup):
        return
    strategy = model.distribute_strategy
    step = model.step_in_graph if model.runs_without_strategy else tf.function(
        lambda data: strategy.run(model.train_step, args=(data,)), autograph=False)
    function = "train_step" if settings.defines("train_step") else "getOptimizer"
    try:
        step.get_concrete_function(train_spec)
    except UserExceptionError as error:
        raise UserCodeError(f"{error}\nAll batches: {_shapes('features', train_spec[0])}; {_shapes('labels', train_spec[1])}; "
                            f"{_shapes('model outputs', model.network.output)}.") from error
    except (PartsError, ValueError) as error:
        raise UserCodeError(f"{settings.place_of(function)}: {function}: {error}") from error


def _check_compilable(settings: Settings, features: Any) -> None:
    """Raises UserCodeError when XLA is to compile steps that begin with text, which it cannot."""
    if settings.useXLA and any(part.dtype == tf.string for part in tf.nest.flatten(features)):
        raise UserCodeError(f"{settings.file}: useXLA = True has no use here: XLA knows no text, and the features have some: "
                            f"{_shapes('features', features)}. Set useXLA = False, or turn the text into numbers in "
                            "get_input_pipeline_train_val.")


def _trace(function: Any, spec: Any, *, example: Any) -> None:
    """Traces a function for all batches of a spec, as evaluations call it; a error is told with the shapes of the example."""
    try:
        function.get_concrete_function(spec)
    except _MISFITS:
        function(example)
        raise


def _require_gradient(settings: Settings, model: ExperimentModel, batch: tuple[Any, ...]) -> None:
    """Raises UserCodeError when the loss of a batch has no gradient for any weight."""
    # The outputs' gradients need no second trace of the network. A loss without them may be one of the weights alone.
    if not settings.declares("model", "mode") and _has_gradient_for_outputs(model, batch):
        return
    gradients: list[Any] = []
    tf.function(lambda members: gradients.extend(model.gradients(members)), autograph=False).get_concrete_function(batch)
    if all(gradient is None for gradient in gradients):
        raise UserCodeError(f"{settings.place_of('get_total_loss')}: get_total_loss returns a number that has no gradient for "
                            "the weights of the network, so that nothing could be learned. Compute it from predictions or "
                            "model_outputs_dict, by differentiable operations.")


def _has_gradient_for_outputs(model: ExperimentModel, batch: tuple[Any, ...]) -> bool:
    features, labels, sample_weights = unpacked(batch)
    inputs = model.preprocess(features)
    outputs = model.infer(inputs)
    floating = {name: tensor for name, tensor in outputs.items() if tensor.dtype.is_floating}
    with tf.GradientTape() as tape:
        tape.watch(floating)
        loss = model.total_loss(inputs=inputs, outputs=outputs, labels=labels, sample_weights=sample_weights, losses=[])
    return any(gradient is not None for gradient in tape.gradient(loss, floating).values())


def _shapes(name: str, structure: Any) -> str:
    """Shapes and dtypes of a tensor or of a dict or tuple of tensors."""
    described = tf.nest.map_structure(lambda tensor: f"{keras.backend.standardize_dtype(tensor.dtype)}{tuple(tensor.shape)}",
                                      structure)
    if isinstance(described, Mapping):
        described = ", ".join(f"'{key}' {value}" for key, value in described.items())
    return f"{name} {described}"
