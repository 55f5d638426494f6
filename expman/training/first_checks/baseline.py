"""Scores of models without hidden layers, so that a training shows what the network adds: a constant answer, a linear model.

Both are fitted to the user's own loss and measured by the user's own metrics: with a squared error they are the mean and linear
regression, with a cross entropy the class frequencies (the majority) and logistic regression.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.errors import ExperimentError, TrainingError
from expman.internals.keras_internals import operation_of
from expman.records.baseline_names import BASELINE_NAMES
from expman.settings.loading import Settings
from expman.training.data.batch_form import unpacked
from expman.training.data.input_data import InputData
from expman.training.distribution.replica_batches import passes
from expman.training.experiment_model import ExperimentModel
from expman.training.op_errors import readable_message

_LOGGER = logging.getLogger(__name__)
MOST_SAMPLES = 5000  # of each part
_MOST_WEIGHTS = 1_000_000  # of the linear model
_MOST_ITERATIONS = 500
_LARGEST_GRADIENT = 1e-6
_KEPT_ACTIVATIONS = ("softmax", "sigmoid", "tanh", "softplus", "exponential")


class BaselineError(Exception):
    """An experiment has no baseline; the message says why."""


def measure_baselines(settings: Settings, model: ExperimentModel) -> dict[str, Any]:
    """Fits the baselines to training samples and measures them on validation samples, which are read anew for that.

    Arguments:
        settings: the experiment.
        model: its model, which stays as it is.

    Returns:
        'constant' and 'linear': name of the loss or metric → value, as an evaluation of the network has them;
        'num_train_samples' and 'num_val_samples', about `MOST_SAMPLES` at most; 'validates_on_all': whether no validation
        sample was left out.
        'linear' is missing where a linear model is of no use.

    Raises:
        BaselineError: the outputs are no vectors, or the loss cannot be computed from `served_head` alone.
    """
    head, output = _measured_output(settings, model)
    try:
        return _measured(settings, head=head, output=output, activation=_last_activation(model.network, output),
                         preprocess=model.preprocess)
    except (ExperimentError, tf.errors.OpError, ValueError, TypeError) as error:
        reason = readable_message(error) if isinstance(error, tf.errors.OpError) else str(error)
        raise BaselineError(f"loss and metrics cannot be computed from the output '{head}' alone: {reason}") from error


def _measured(settings: Settings, *, head: str, output: keras.KerasTensor, activation: str,
              preprocess: Callable[[Any], Any]) -> dict[str, Any]:
    train_data, validation_data = InputData(settings, for_training=True), InputData(settings, for_training=False)
    inputs, labels, sample_weights = _first_samples(train_data.dataset, settings.batch_size, preprocess)
    linear = _is_of_use(inputs, output)
    functions = {**settings.functions, "model": _linear_model(inputs if linear else None, head=head, num_outputs=output.shape[1],
                                                              activation=activation)}
    model = ExperimentModel(settings=dataclasses.replace(settings, functions=functions),
                            features_spec=train_data.dataset.element_spec[0])
    model.compile(optimizer=keras.optimizers.SGD())
    validation = validation_data.dataset.take(max(1, MOST_SAMPLES // settings.batch_size))
    kernels = [weight for weight in model.trainable_variables if weight.name == "kernel"]
    biases = [weight for weight in model.trainable_variables if weight.name == "bias"]
    num_samples = len(tf.nest.flatten(inputs)[0])
    scores: dict[str, Any] = {}
    for name, weights in (("constant", biases), ("linear", kernels + biases))[:2 if linear else 1]:
        _fit(model, weights, inputs=inputs, labels=labels, sample_weights=sample_weights, kernels=kernels)
        scores[name] = model.measure(passes(validation, strategy=model.distribute_strategy))
    num_validated = sum(len(tf.nest.flatten(batch[0])[0]) for batch in validation)
    is_cut = any(True for _ in validation_data.dataset.skip(max(1, MOST_SAMPLES // settings.batch_size)))
    return {**scores, "num_train_samples": num_samples, "num_val_samples": num_validated, "validates_on_all": not is_cut}


def _measured_output(settings: Settings, model: ExperimentModel) -> tuple[str, keras.KerasTensor]:
    """The output that loss and metrics get as `predictions`."""
    outputs = model.network.output
    head = settings.served_head if settings.served_head in outputs else next(iter(outputs))
    if len(outputs) > 1 and head != settings.served_head:  # made of another output when served, say of the logits
        wide = [name for name, output in outputs.items() if output.shape[1:] == (settings.n_outputs,)]
        if len(wide) == 1:
            return wide[0], outputs[wide[0]]
        raise BaselineError(f"which of the outputs {', '.join(outputs)} the loss is about cannot be told: none is called as "
                            f"served_head = '{settings.served_head}', and not one alone has n_outputs = {settings.n_outputs} "
                            "numbers a sample.")
    if len(outputs[head].shape) != 2 or outputs[head].shape[1] is None:
        raise BaselineError(f"the output '{head}' has the shape {tuple(outputs[head].shape)}; baselines are for vectors.")
    return head, outputs[head]


def _first_samples(dataset: tf.data.Dataset, batch_size: int, preprocess: Callable[[Any], Any]
                   ) -> tuple[Any, Any, tf.Tensor | None]:
    """Preprocessed inputs, labels and sample weights, if there are any, of the first batches, joined."""
    batches = [(preprocess(batch[0]), *batch[1:]) for batch in dataset.take(max(1, MOST_SAMPLES // batch_size))]
    return unpacked(tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *batches))


def _is_of_use(inputs: Any, output: keras.KerasTensor) -> bool:
    """Returns whether all inputs are numbers, and few enough: what stands for words or is an image of a million pixels is not."""
    parts = tf.nest.flatten(inputs)
    num_features = sum(int(np.prod(part.shape[1:])) for part in parts)
    return all(part.dtype.is_floating for part in parts) and num_features * output.shape[1] <= _MOST_WEIGHTS


def _last_activation(network: keras.Model, output: keras.KerasTensor) -> str:
    """Returns the name of the activation that an output of a network comes from, if a baseline keeps it, else 'linear'."""
    last = operation_of(output, network)
    name = keras.activations.serialize(last.activation) if hasattr(last, "activation") else type(last).__name__.lower()
    return name if name in _KEPT_ACTIVATIONS else "linear"


def _linear_model(inputs: Any | None, *, head: str, num_outputs: int, activation: str
                  ) -> Callable[..., dict[str, keras.KerasTensor]]:
    """A `model` of one layer on the normalised inputs; without inputs its kernel has no effect."""
    def model(data: Any) -> dict[str, keras.KerasTensor]:
        features = []
        for place, part in enumerate(tf.nest.flatten(data)):
            if inputs is None:
                part = keras.layers.Lambda(lambda values: tf.zeros([tf.shape(values)[0], 1]), output_shape=(1,))(part)
            else:
                part = keras.layers.Flatten(dtype="float32")(part)
                samples = keras.ops.reshape(keras.ops.cast(tf.nest.flatten(inputs)[place], "float32"), [-1, part.shape[1]])
                part = keras.layers.Normalization(mean=np.mean(samples, axis=0), variance=np.var(samples, axis=0),
                                                  dtype="float32")(part)
            features.append(part)
        joined = keras.layers.Concatenate(dtype="float32")(features) if len(features) > 1 else features[0]
        layer = keras.layers.Dense(num_outputs, activation=activation, kernel_initializer="zeros", dtype="float32")
        return {head: layer(joined)}

    return model


def _fit(model: ExperimentModel, weights: list[keras.Variable], *, inputs: Any, labels: Any, sample_weights: tf.Tensor | None,
         kernels: list[keras.Variable]) -> None:
    """Minimises the loss over all samples at once, with the small penalty on the kernel that scikit-learn's LogisticRegression
    has: half its sum of squares, divided by the number of samples.
    """
    from scipy.optimize import minimize
    num_samples = len(tf.nest.flatten(inputs)[0])
    variables = [weight.value for weight in weights]

    @tf.function(autograph=False)
    def loss_and_gradients() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            outputs = model.network(inputs, training=False)
            loss = model.total_loss(inputs=inputs, outputs=outputs, labels=labels, losses=[],
                                    sample_weights=sample_weights)
            loss += tf.add_n([tf.nn.l2_loss(kernel.value) for kernel in kernels]) / num_samples
        return loss, tape.gradient(loss, variables, unconnected_gradients="zero")

    def assign(flat: np.ndarray) -> None:
        for variable, part in zip(variables, np.split(flat, np.cumsum([np.prod(each.shape) for each in variables])[:-1])):
            variable.assign(part.reshape(variable.shape))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        assign(flat)
        loss, gradients = loss_and_gradients()
        return float(loss), np.concatenate([np.ravel(gradient).astype(np.float64) for gradient in gradients])

    start = np.concatenate([np.ravel(variable.numpy()) for variable in variables]).astype(np.float64)
    found = minimize(objective, start, jac=True, method="L-BFGS-B",
                     options={"maxiter": _MOST_ITERATIONS, "gtol": _LARGEST_GRADIENT})
    if not np.isfinite(found.fun):
        raise TrainingError(f"the loss is {found.fun} for a constant or linear model.")
    assign(found.x)


def told_baselines(settings: Settings, model: ExperimentModel) -> dict[str, Any]:
    """Measures the baselines that `baseline = True` asks for and prints a line for each, in the words of the lines of epochs.

    Returns:
        What `measure_baselines` returns; {} when none is asked for or, with a line that says why, there is none.
    """
    if not settings.baseline:
        return {}
    try:
        baselines = measure_baselines(settings, model)
    except BaselineError as error:
        _LOGGER.warning("baseline = True has no effect: %s", error)
        return {}
    print("\n".join(baseline_lines(baselines)), flush=True)
    return baselines


def baseline_lines(baselines: Mapping[str, Any]) -> list[str]:
    """A line for each baseline, with what an evaluation measures."""
    cut = "" if baselines["validates_on_all"] else f", on the first {baselines['num_val_samples']} samples"
    return [f"baseline, {text}{cut}: " + " ".join(f"val_{metric} {value:.4g}" for metric, value in baselines[name].items())
            for name, text in BASELINE_NAMES.items() if name in baselines]
