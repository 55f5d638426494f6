"""The user's network, preprocessing, loss and metrics as one Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from expman.errors import UserCodeError
from expman.internals.keras_internals import WithoutSymbolicBuild, keras_losses_as_means
from expman.settings.loading import Settings, Unavailable
from expman.settings.user_module import user_code
from expman.training.data.batch_form import unpacked
from expman.training.distribution.devices import model_device
from expman.training.distribution.replicas import mean_over_replicas
from expman.training.evaluation_metrics import EvaluationMetrics
from expman.training.network import (
    build_network,
    check_same_weights,
    checked_inputs,
    network_inputs,
    preprocessed_spec,
    random_states,
)
from expman.training.steps import user_train_step, weights_averaging
from expman.training.steps.epoch_sums import EpochSums
from expman.training.steps.finite_check import require_finite
from expman.training.steps.optimizer_state import innermost
from expman.training.steps.step_loop import step_loop
from expman.training.tensorboard.user_summaries import checked_summaries
from expman.training.user_functions.user_tensors import tensor_of_numbers

_EMBEDDING_OUTPUT = "code"


class ExperimentModel(WithoutSymbolicBuild, keras.Model):
    """The model that `fit` trains and `evaluate` measures.

    The preprocessing is made of TensorFlow ops, which Keras' symbolic tensors refuse; therefore the functional network of
    the user starts behind it, and this model runs both. Evaluation and export read the weights through `infer`.

    Arguments:
        settings: the experiment.
        features_spec: `tf.TensorSpec` of the training features, or a dict of them, batch dimension included.

    Attributes:
        network: the trained functional network, built with mode 'train'.
        runs_without_strategy: True when no `tf.distribute.Strategy` shares out or places the computation.
        step_in_graph: `train_step`, traced once for its check and the training; not for strategies.
        epoch_sums: of the present epoch.

    Raises:
        UserCodeError: a function of the user raised or returned what the contract does not allow.
    """

    def __init__(self, *, settings: Settings, features_spec: Any) -> None:
        super().__init__(name="experiment")
        self._settings = settings
        self._placement = model_device(settings.used_gpu_IDs)
        input_specs = network_inputs(settings, preprocessed_spec(self.preprocess, features_spec))
        self.network = build_network(settings, input_specs, mode="train")
        is_distinct = settings.declares("model", "mode")
        inference_network = build_network(settings, input_specs, mode="infer") if is_distinct else self.network
        check_same_weights(settings, self.network, inference_network)
        # Behind a function, out of Keras' sight: the weights of this second network are never used, see `infer`.
        self._inference_network = lambda: inference_network
        self.runs_without_strategy = not tf.distribute.has_strategy()
        self._metric_objects: dict[str, keras.metrics.Metric] = {}  # Keras tracks and resets them
        self._metrics_of_user = EvaluationMetrics(settings, objects=self._metric_objects,
                                                  without_strategy=self.runs_without_strategy)
        self._measured_names = ("loss",)
        self.epoch_sums = EpochSums()
        self.built = True
        self.step_in_graph = tf.function(self.train_step, autograph=False, jit_compile=self.jit_compile)
        if self.runs_without_strategy:  # traced once for the check of the first batch and the evaluations
            self.test_step = tf.function(self.test_step, autograph=False, jit_compile=self.jit_compile)

    def preprocess(self, features: Any) -> Any:
        """The user's `data_preprocess`, the same in training, evaluation and the served model."""
        return checked_inputs(self._settings, self._settings.call("data_preprocess", features=features,
                                                                  model_placement=self._placement))

    def call(self, features: Any, training: bool = False) -> dict[str, tf.Tensor]:
        """Raw features to the outputs of the network, before postprocessing; with averaged weights unless training."""
        inputs = self.preprocess(features)
        return self.outputs_in_training(inputs) if training else self.infer(inputs)

    def infer(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Preprocessed inputs to outputs, in inference mode, with the averaged weights if the optimizer keeps them."""
        return self._infer_with_losses(inputs)[0]

    def _infer_with_losses(self, inputs: Any) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """The outputs of `infer`, and the losses of the network itself (regularisers, `add_loss`) for the same weights.

        `self.losses` would hold those of the last training step: of other weights, and tensors of another graph.
        """
        network = self._inference_network()
        with keras.StatelessScope(state_mapping=self._inference_weights(), collect_losses=True) as scope:
            with user_code("model", default_place=self._settings.place_of("model")):
                outputs = _in_full_precision(network(inputs, training=False))
            losses = network.losses
        for state in random_states(network):
            advanced = scope.get_current_value(state)
            if advanced is not None:
                state.assign(advanced)
        return outputs, losses

    def outputs_in_training(self, inputs: Any) -> dict[str, tf.Tensor]:
        """Preprocessed inputs to outputs, in training mode, with the weights themselves."""
        with user_code("model", default_place=self._settings.place_of("model")):
            return _in_full_precision(self.network(inputs, training=True))

    def train_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """One update of the weights; called by `fit` in the graph, by each replica for its part of the batch."""
        features, labels, sample_weights, num_samples = _with_num_samples(data)
        inputs = self.preprocess(features)
        if self._settings.defines(user_train_step.FUNCTION):
            return self._stepped_by_user((inputs, labels) if sample_weights is None else (inputs, labels, sample_weights),
                                         num_samples=num_samples)
        with tf.GradientTape() as tape:
            outputs = self.outputs_in_training(inputs)
            loss = self.total_loss(inputs=inputs, outputs=outputs, labels=labels, sample_weights=sample_weights)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        if all(gradient is None for gradient in gradients):
            raise UserCodeError(f"{self._settings.place_of('get_total_loss')}: the loss of get_total_loss has no gradient for "
                                "any weight of model. Use differentiable operations from the weights to the loss.")
        gradient_norm = self._norm(gradients)
        # Mixed precision with float16 meets gradients that overflow, skips them and lowers its scale by itself.
        checked = loss if self.optimizer is not innermost(self.optimizer) else loss + gradient_norm
        with tf.control_dependencies([require_finite(checked)]):  # a replica that fails keeps its gradients from the others, too
            if self.distribute_strategy.num_replicas_in_sync > 1:
                (loss, *gradients), num_samples = mean_over_replicas([loss, *gradients], num_samples=num_samples)
                gradient_norm = self._norm(gradients)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        # The same on all replicas, so that each knows it without asking the others.
        self.epoch_sums.add(loss=loss, num_samples=num_samples, gradient_norm=gradient_norm)
        return self._as_fit_reduces({"loss": loss})

    def _stepped_by_user(self, data: tuple[Any, ...], *, num_samples: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of the user's own `train_step`."""
        scalars = user_train_step.run_train_step(self._settings, network=self.network, data=data, optimizers=self.optimizer)
        loss = scalars.pop("loss")
        gradient_norm = scalars.pop("gradient_norm", None)
        self.epoch_sums.add(loss=loss, num_samples=num_samples, gradient_norm=gradient_norm, further=scalars)
        return self._as_fit_reduces({"loss": loss})

    def gradients(self, data: tuple[Any, Any]) -> list[tf.Tensor | None]:
        """The gradients of one batch's loss, which no weight follows."""
        features, labels, sample_weights = unpacked(data)
        inputs = self.preprocess(features)
        with tf.GradientTape() as tape:
            loss = self.total_loss(inputs=inputs, outputs=self.outputs_in_training(inputs), labels=labels,
                                   sample_weights=sample_weights)
        return tape.gradient(loss, self.trainable_variables)

    def test_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """One batch of an evaluation; all values are averaged over samples, not over batches."""
        features, labels, sample_weights, num_samples = _with_num_samples(data)
        inputs = self.preprocess(features)
        outputs, losses = self._infer_with_losses(inputs)
        loss = self.total_loss(inputs=inputs, outputs=outputs, labels=labels, sample_weights=sample_weights, losses=losses)
        self._loss_tracker.update_state(loss, sample_weight=num_samples)
        values = self._metrics_of_user.values({
            "sample_weights": sample_weights, **self.offered(inputs=inputs, outputs=outputs, labels=labels)})
        self._metrics_of_user.update(values, num_samples=num_samples, sample_weights=sample_weights,
                                     num_replicas=self.distribute_strategy.num_replicas_in_sync)
        return self._as_fit_reduces(self._measured())

    def make_train_function(self, force: bool = False) -> None:
        """Makes what `fit` calls for an execution; see `step_loop`."""
        if not self.runs_without_strategy:
            super().make_train_function(force)
        elif self.train_function is None or force:
            self.train_function = step_loop(self.step_in_graph, most_steps=lambda: self.steps_per_execution,
                                            first_logs={"loss": 0.0})

    def make_test_function(self, force: bool = False) -> None:
        """Makes what `evaluate` calls for an execution; see `step_loop`."""
        if not self.runs_without_strategy:
            super().make_test_function(force)
        elif self.test_function is None or force:
            self.test_function = step_loop(self.test_step, most_steps=lambda: self.steps_per_execution, result=self._measured)

    def measure(self, data: tf.data.Dataset | tf.distribute.DistributedDataset, *,
                callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, float]:
        """Loss and metrics over a dataset. With several workers all must call it, since each holds a part of the sums."""
        logs = self.evaluate(data, verbose=0, return_dict=True, callbacks=list(callbacks))
        if self.distribute_strategy.num_replicas_in_sync > 1:
            with self.distribute_strategy.scope():  # there a metric adds up what its replicas counted
                logs = self._measured()
        return {name: float(logs[name]) for name in self.metric_names}

    def num_measured_samples(self) -> int:
        """Returns how many samples the last evaluation had."""
        with self.distribute_strategy.scope():  # see `measure`
            return round(float(self._loss_tracker.count))

    def _measured(self) -> dict[str, tf.Tensor]:
        measured = {"loss": self._loss_tracker.result()} | self._metrics_of_user.results()
        self._measured_names = tuple(measured)
        return measured

    def total_loss(self, *, inputs: Any, outputs: Mapping[str, tf.Tensor], labels: Any, sample_weights: tf.Tensor | None = None,
                   losses: list[tf.Tensor] | None = None) -> tf.Tensor:
        """The user's loss of a batch as a float32 scalar; `losses` are the network's own, by default of its last training call.

        Their sum is added, unless the user's function declares `weights_loss`: then it is its own business.
        """
        losses = self.losses if losses is None else losses
        weights_loss = tf.add_n([tf.cast(loss, tf.float32) for loss in losses]) if losses else tf.constant(0.0)
        with keras_losses_as_means():
            loss = self._settings.call("get_total_loss", weights_loss=weights_loss, sample_weights=sample_weights,
                                       **self.offered(inputs=inputs, outputs=outputs, labels=labels))
        loss = tensor_of_numbers(loss, "get_total_loss must return a scalar tensor",
                                 place=self._settings.place_of("get_total_loss"))
        if loss.shape.rank != 0 or loss.dtype.is_bool or loss.dtype.is_complex:
            got = f"shape {loss.shape}" if loss.shape.rank != 0 else f"dtype {loss.dtype.name}"
            raise UserCodeError(f"{self._settings.place_of('get_total_loss')}: get_total_loss must return a scalar tensor. "
                                f"Got {got}. Average it, e.g. by tf.reduce_mean.")
        loss = tf.cast(loss, tf.float32)
        return loss if self._settings.declares("get_total_loss", "weights_loss") else loss + weights_loss

    def summaries(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """The tensors of `get_validation_summaries` for one batch."""
        features, labels, _ = unpacked(data)
        inputs = self.preprocess(features)
        return checked_summaries(self._settings, self._settings.call(
            "get_validation_summaries", **self.offered(inputs=inputs, outputs=self.infer(inputs), labels=labels)))

    def projections(self, features: Any) -> tuple[Any, dict[str, tf.Tensor]]:
        """The preprocessed inputs of one batch and what `infer` makes of them."""
        inputs = self.preprocess(features)
        return inputs, self.infer(inputs)

    @property
    def jit_compile(self) -> bool:
        """Returns whether XLA compiles the steps. Keras would refuse it whenever ops are deterministic, since some ops cannot be both;
        XLA names them if there are any.
        """
        return self._settings.useXLA

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        """Keras' `compile` sets it; the settings decide."""

    def training_state(self) -> dict[str, list[keras.Variable]]:
        """Returns all variables that a training goes on from: weights, random generators, optimizer with averages, sums of the epoch."""
        return {"network": self.network.variables, "optimizer": self.optimizer.variables,
                "epoch": [self.epoch_sums.variable]}

    @property
    def metric_names(self) -> list[str]:
        """Returns what an evaluation measures; complete after the first one."""
        return list(self._measured_names)

    def _norm(self, gradients: list[Any]) -> tf.Tensor:
        """The global norm of gradients of the scaled loss, for the loss itself."""
        return tf.linalg.global_norm(gradients) / self.optimizer.scale_loss(tf.constant(1.0))

    def _as_fit_reduces(self, logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The logs of a step as Keras can reduce them: over several workers it averages along the first axis."""
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return {name: tf.reshape(value, [1]) for name, value in logs.items()}
        return logs

    def offered(self, *, inputs: Any, outputs: Mapping[str, tf.Tensor], labels: Any) -> dict[str, Any]:
        """The arguments that the user's loss, metrics and summaries may ask for."""
        outputs = dict(outputs)
        head = self._settings.served_head
        if head in outputs or len(outputs) == 1:
            predictions = outputs.get(head, next(iter(outputs.values())))
        else:
            predictions = Unavailable(f"served_head '{head}' is none of the outputs of `model`: {', '.join(outputs)}.")
        embedding = outputs.get(_EMBEDDING_OUTPUT, Unavailable(
            f"`model` has no output named '{_EMBEDDING_OUTPUT}': its outputs are {', '.join(outputs)}."))
        return {"inputs": inputs, "model_outputs_dict": outputs, "predictions": predictions,
                "embedding_code": embedding, "labels": labels}

    def make_metrics(self, data: tuple[Any, Any]) -> None:
        """Makes the objects of all metrics from one batch; replicas cannot, since they must not create variables."""
        features, labels, sample_weights = unpacked(data)
        inputs = self.preprocess(features)
        self._metrics_of_user.values({
            "sample_weights": sample_weights, **self.offered(inputs=inputs, outputs=self.infer(inputs), labels=labels)})

    def _inference_weights(self) -> list[tuple[keras.Variable, Any]]:
        """For each weight of the network that infers, the variable whose value it takes; regularisers need all of them."""
        sources = {id(weight): weight for weight in self.network.weights}
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and optimizer.built and weights_averaging.keeps_averages(optimizer):
            sources |= dict(zip(map(id, self.network.trainable_variables), weights_averaging.averages(optimizer), strict=True))
        own_weights = self._inference_network().weights
        return [(own, sources[id(trained)]) for own, trained in zip(own_weights, self.network.weights)]


def _in_full_precision(outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs with half-precision floats as float32, so that the user's loss and clients need not know of mixed precision."""
    return {name: tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor
            for name, tensor in outputs.items()}


def _with_num_samples(data: tuple[Any, ...]) -> tuple[Any, Any, tf.Tensor | None, tf.Tensor]:
    """Features, labels, their weights and the number of samples that count, from a batch or from a replica's part of one."""
    if isinstance(data[0], tuple):
        batch, num_samples = data
        return *unpacked(batch), num_samples
    return *unpacked(data), tf.shape(tf.nest.flatten(data[0])[0])[0]
