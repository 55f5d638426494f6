"""Multi-layer perceptron that tells how sure it is: concrete dropout, with a mean and a log-variance head.

Source: Gal, Hron, Kendall, "Concrete Dropout", NeurIPS 2017; the two kinds of uncertainty as in Kendall and Gal, "What
uncertainties do we need in Bayesian deep learning for computer vision?", NeurIPS 2017.
Parameters: with d inputs, h units in each of l hidden layers and n outputs, (d + 1) h + (l − 1)(h + 1) h + 2 (h + 1) n, and
one dropout probability for each of the l + 2 layers, or l + 1 with drop_inputs=False.
Loss: tf.reduce_mean(gaussian_negative_log_likelihood(labels, model_outputs_dict["prediction_mean"],
model_outputs_dict["prediction_log_variance"])) + weights_loss, the former from `model_zoo.losses.heteroscedastic`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from model_zoo.checked_hparams import flag, number_of_outputs, real_number, whole_number
from model_zoo.layers.concrete_dropout_dense import ConcreteDropoutDense


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any], mode: str) -> dict[str, keras.KerasTensor]:
    """Builds the network; both modes have the same weights.

    To train, each sample passes once, with gates drawn anew. To infer, which is how the manager evaluates and serves, each
    passes through `monte_carlo_draws` networks thinned at random. Their gates come from a fixed seed, so that an answer can be
    repeated and does not depend on what else is in the batch; and a curve over the inputs is as smooth as that of one network.

    Arguments:
        data: float32 `[batch, num_inputs]`.
        n_outputs: number of outputs.
        hparams: `nb_train_samples` (required: the more samples, the surer the network), `hiddenNeurons` (units of a hidden
            layer, 64), `hiddenLayers` (their number, 3), `length_scale` (of the prior of the weights, 1e-4),
            `initial_dropout` (probability before training, 0.1), `drop_inputs` (whether the inputs themselves are dropped
            as in the paper; with one or two of them, each drop blurs the whole answer; True), `monte_carlo_draws` (50).
        mode: 'train' or 'infer'.

    Returns:
        `prediction_mean`: `[batch, n_outputs]`; `prediction_log_variance`: `[batch, n_outputs]`, logarithm of the variance
        around that mean; `code`: the last hidden layer, `[batch, hiddenNeurons]`.
        To train, the variance is that of the noise alone. To infer, mean and code are averages over the draws, the variance
        is that of the mixture of all draws, and there are also its two parts as standard deviations in the unit of the
        labels, `[batch, n_outputs]` each: `epistemic_deviation`, of the draws' means, which more training data would lower,
        and `aleatoric_deviation`, of the noise in the data.

    Raises:
        ValueError: `data` is not of rank 2, or a hyperparameter is missing or out of its range.
    """
    if len(data.shape) != 2:
        raise ValueError(f"data must be [batch, num_inputs]. Got the shape {data.shape}. Flatten it in data_preprocess.")
    number_of_outputs(n_outputs)
    options = {"num_train_samples": whole_number(hparams, "nb_train_samples"),
               "length_scale": real_number(hparams, "length_scale", 1e-4, above=0),
               "initial_probability": real_number(hparams, "initial_dropout", 0.1, above=0, below=1)}
    units, num_layers = whole_number(hparams, "hiddenNeurons", 64), whole_number(hparams, "hiddenLayers", 3)
    draws = whole_number(hparams, "monte_carlo_draws", 50, least=2)
    is_sampling = mode == "infer"

    hidden = keras.layers.RepeatVector(draws, name="draws")(data) if is_sampling else data  # [batch, draws, num_inputs]
    for layer in range(num_layers):
        name = f"hidden_{layer + 1}"
        if layer == 0 and not flag(hparams, "drop_inputs", True):
            prior = keras.regularizers.L2(0.5 * options["length_scale"] ** 2 / options["num_train_samples"])
            hidden = keras.layers.Dense(units, activation="relu", kernel_regularizer=prior, name=name)(hidden)
            continue
        hidden = ConcreteDropoutDense(units, activation="relu", sampling_seed=layer if is_sampling else None, name=name,
                                      **options)(hidden)
    # In full precision also under mixed precision: variances of half-precision draws would be coarse.
    mean, log_variance = (
        ConcreteDropoutDense(n_outputs, sampling_seed=num_layers + head if is_sampling else None, dtype="float32",
                             name=name, **options)(hidden)
        for head, name in enumerate(("prediction_mean", "prediction_log_variance")))
    outputs = {"prediction_mean": mean, "prediction_log_variance": log_variance, "code": hidden}
    return _over_draws(**outputs) if is_sampling else outputs


def _over_draws(*, prediction_mean: keras.KerasTensor, prediction_log_variance: keras.KerasTensor,
                code: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """Outputs `[batch, draws, …]` to mean and variance of their mixture, by the law of total variance."""
    epistemic = ops.var(prediction_mean, axis=1)
    aleatoric = ops.mean(ops.exp(prediction_log_variance), axis=1)
    return {"prediction_mean": ops.mean(prediction_mean, axis=1), "prediction_log_variance": ops.log(epistemic + aleatoric),
            "code": ops.mean(code, axis=1), "epistemic_deviation": ops.sqrt(epistemic),
            "aleatoric_deviation": ops.sqrt(aleatoric)}
