"""Dense layer whose inputs are dropped with a probability that is learnt.

Source: Gal, Hron, Kendall, "Concrete Dropout", NeurIPS 2017.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

_UNIFORM_RANGE = (1e-6, 1 - 1e-6)  # 0 and 1, which float32 rounds to, would have no finite logit


class ConcreteDropoutDense(keras.layers.Layer):
    """A dense layer y = a(W (x ∘ gate) + b) with one dropout probability p = sigmoid(dropout_logit) as third weight.

    The gate of an input is (1 − z) / (1 − p), where z is a draw of the concrete distribution, the smooth stand-in for a
    Bernoulli draw with probability p through which p gets a gradient: z = sigmoid((logit p + logit u) / temperature), u
    uniform in 0 … 1.

    Each call adds the divergence of the approximate posterior of its weights from their prior, over the number of training
    samples (equations 1 to 4 of the paper), as a loss of the layer:
    [length_scale² / 2 · ‖W‖² / (1 − p) − d H(p)] / num_train_samples, for d inputs, the entropy
    H(p) = −p ln p − (1 − p) ln(1 − p), and W as it is here, where the gate has the factor 1 / (1 − p) that the paper leaves
    to W. It belongs to a loss that is an average negative log-likelihood in nats; the 2 that the authors' own code has before
    the entropy belongs to twice that.

    Arguments:
        units: number of outputs.
        num_train_samples: the more, the less the prior weighs.
        length_scale: of the prior; the larger, the smaller the weights are kept.
        initial_probability: p before training.
        temperature: of the concrete distribution; the smaller, the closer to dropping or keeping.
        activation: as of `keras.layers.Dense`.
        sampling_seed: None: each training call draws anew for each sample, and inference drops nothing. A whole number: inputs
            are `[batch, draws, d]` with a known number of draws, gates depend on the draw and the input and not on the sample,
            and they are the same in every call. Each draw is then one thinned network, applied to all samples.
        **options: of `keras.layers.Layer`.

    Raises:
        ValueError: a number is outside its range.
    """

    def __init__(self, units: int, *, num_train_samples: int, length_scale: float = 1e-4, initial_probability: float = 0.1,
                 temperature: float = 0.1, activation: Any = None, sampling_seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        for name, value in (("units", units), ("num_train_samples", num_train_samples), ("length_scale", length_scale),
                            ("temperature", temperature)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0. Got {value!r}.")
        if not 0 < initial_probability < 1:
            raise ValueError(f"initial_probability must lie between 0 and 1, both excluded. Got {initial_probability!r}. "
                             "Take keras.layers.Dense for no dropout.")
        self.units = units
        self.num_train_samples = num_train_samples
        self.length_scale = length_scale
        self.initial_probability = initial_probability
        self.temperature = temperature
        self.activation = keras.activations.get(activation)
        self.sampling_seed = sampling_seed
        # In training only: an inference that advanced a generator's state would answer differently at each call.
        self.seed_generator = keras.random.SeedGenerator() if sampling_seed is None else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights `kernel`, `bias` and `dropout_logit`."""
        logit = float(np.log(self.initial_probability) - np.log1p(-self.initial_probability))
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        # A half-precision p would make gate and regulariser coarse.
        self.dropout_logit = self.add_weight(shape=(), initializer=keras.initializers.Constant(logit), autocast=False,
                                             name="dropout_logit")
        if self.sampling_seed is not None:
            # Constants, not an op with a seed: XLA, another device or another server would draw other numbers.
            generator = np.random.default_rng(self.sampling_seed)
            self._fixed_uniform = generator.uniform(*_UNIFORM_RANGE, [1, *input_shape[1:]]).astype(np.float32)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """`[…, d]` to `[…, units]`."""
        self.add_loss(self._divergence(num_inputs=inputs.shape[-1]))
        if self.sampling_seed is not None:
            inputs = inputs * self._gate(self._fixed_uniform)
        elif training:
            uniform = keras.random.uniform(ops.shape(inputs), *_UNIFORM_RANGE, dtype="float32", seed=self.seed_generator)
            inputs = inputs * self._gate(uniform)
        return self.activation(ops.matmul(inputs, self.kernel) + self.bias)

    def _gate(self, uniform: Any) -> Any:
        """Uniform draws to factors of the inputs: 1 on average for low temperatures, near 0 where one is dropped."""
        logit = ops.cast(self.dropout_logit, "float32")
        dropped = ops.sigmoid((logit + ops.log(uniform) - ops.log1p(-uniform)) / self.temperature)
        return ops.cast((1 - dropped) * _inverse_of_kept(logit), self.compute_dtype)

    def _divergence(self, *, num_inputs: int) -> Any:
        logit = ops.cast(self.dropout_logit, "float32")
        entropy = ops.softplus(logit) - logit * ops.sigmoid(logit)
        squared_norm = ops.sum(ops.square(ops.cast(self.kernel, "float32"))) * _inverse_of_kept(logit)
        return (0.5 * self.length_scale ** 2 * squared_norm - num_inputs * entropy) / self.num_train_samples


def _inverse_of_kept(logit: Any) -> Any:
    """1 / (1 − sigmoid(logit)), exact where 1 − p would round to 0."""
    return 1 + ops.exp(logit)
