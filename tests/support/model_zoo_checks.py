"""What holds for each model of the zoo: it builds as the manager builds it, learns, and survives its export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments_settings_checker import MODEL_PROTOTYPE
from expman.export import publisher
from expman.export.served_model import ServedModel

_SINGLE_INPUT = "input"


def build(model_function: Callable[..., Any], input_shape: Sequence[int | None] | Mapping[str, tf.TensorSpec],
          n_outputs: int | None = None, hparams: Mapping[str, Any] | None = None, *, mode: str = "train") -> keras.Model:
    """Builds a network as the manager does: `model` is called by keyword with the parameters that it declares.

    Arguments:
        model_function: `model` of a model file.
        input_shape: shape of one float32 sample, without the batch; or name → `tf.TensorSpec`, batch dimension included.
        n_outputs: offered to `model`.
        hparams: offered to `model`.
        mode: 'train' or 'infer', offered to `model`.

    Returns:
        A functional model from the inputs to the dict of outputs.
    """
    if isinstance(input_shape, Mapping):
        data: Any = {name: keras.Input(shape=spec.shape[1:], dtype=spec.dtype.name, name=name)
                     for name, spec in input_shape.items()}
    else:
        data = keras.Input(shape=tuple(input_shape))
    offered = {"data": data, "n_outputs": n_outputs, "hparams": dict(hparams or {}), "mode": mode}
    outputs = model_function(**MODEL_PROTOTYPE.select(model_function, offered))
    assert all(isinstance(tensor, keras.KerasTensor) for tensor in outputs.values()), outputs
    return keras.Model(inputs=data, outputs=dict(outputs))


def count_trainable(network: keras.Model) -> int:
    """The number of trainable parameters."""
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def output_shapes(network: keras.Model, inputs: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each output for real inputs, as computed and not as inferred."""
    return {name: tuple(tensor.shape) for name, tensor in network(inputs, training=False).items()}


def assert_one_step_lowers_the_loss(network: keras.Model, inputs: Any, loss: Callable[[dict[str, tf.Tensor]], tf.Tensor], *,
                                    learning_rate: float = 1e-3, steps: int = 1) -> None:
    """Trains on one batch and checks that its loss falls, that it is finite, and that each weight gets a gradient.

    The loss is measured in training mode and with the same random numbers, so that dropout does not blur the comparison.

    Arguments:
        network: built with mode 'train'; it is trained.
        inputs: one batch, as tensor or array or dict of them.
        loss: from the dict of outputs to a scalar; the network's own losses (regularisers, `add_loss`) are added to it.
        learning_rate: of Adam.
        steps: how many updates.
    """
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(network.trainable_variables)

    def total(outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.add_n([loss(outputs), *network.losses])

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            value = total(network(inputs, training=True))
        gradients = tape.gradient(value, network.trainable_variables)
        lacking = [weight.path for weight, gradient in zip(network.trainable_variables, gradients) if gradient is None]
        assert not lacking, f"no gradient reaches {lacking}"
        optimizer.apply_gradients(zip(gradients, network.trainable_variables))

    states = [(variable, variable.numpy()) for variable in network.non_trainable_variables]

    def with_the_same_noise(computed: Callable[[], Any]) -> Any:
        for variable, state in states:  # the states of random generators among them
            variable.assign(state)
        return computed()

    def measured() -> float:
        return float(total(network(inputs, training=True)))

    before = with_the_same_noise(measured)
    for _ in range(steps):
        with_the_same_noise(step)
    after = with_the_same_noise(measured)
    assert np.isfinite([before, after]).all() and after < before, f"loss {before} before and {after} after {steps} steps"


def assert_export_and_reload_answer_equally(network: keras.Model, inputs: Any, folder: Path) -> None:
    """Exports through the manager's own exporter, loads the SavedModel anew and compares its answers with the network's.

    The network must answer the same twice: one that samples draws from a fixed seed when it infers.

    Arguments:
        network: built with mode 'infer'.
        inputs: one batch, as array or dict of arrays; its first sample is asked alone, too.
        folder: gets the version's folder.
    """
    is_single = not isinstance(inputs, Mapping)
    batch = {_SINGLE_INPUT: tf.constant(inputs)} if is_single else {name: tf.constant(value) for name, value in inputs.items()}

    def answer(tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return network(tensors[_SINGLE_INPUT] if is_single else dict(tensors), training=False)

    served = ServedModel(answer=answer, inputs_spec={
        name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for name, tensor in batch.items()})
    sample = {name: tensor.numpy() for name, tensor in batch.items()}
    version = publisher.publish(served, base_path=folder, sample=sample, keep_versions=1)
    signatures = tf.saved_model.load(str(version)).signatures
    assert set(signatures) == {"serving_default", *network.output}
    for part in (batch, batch, {name: tensor[:1] for name, tensor in batch.items()}):
        expected, answered = answer(part), signatures["serving_default"](**part)
        for name, tensor in expected.items():
            np.testing.assert_allclose(answered[name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
