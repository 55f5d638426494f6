"""Concrete dropout: gates and regulariser against NumPy, the same weights in both modes, repeatable samples, honest doubt."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_zoo import mlp_concrete_dropout
from model_zoo.layers.concrete_dropout_dense import ConcreteDropoutDense
from model_zoo.losses.heteroscedastic import gaussian_negative_log_likelihood
from tests.support.model_zoo_checks import (
    assert_export_and_reload_answer_equally,
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)

HPARAMS = {"nb_train_samples": 100, "hiddenNeurons": 8, "hiddenLayers": 2, "initial_dropout": 0.3, "monte_carlo_draws": 20}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def both_modes(inputs: int = 3, outputs: int = 2, hparams: dict | None = None) -> tuple[keras.Model, keras.Model]:
    """The trained and the inferring network, with the same weights."""
    trained, inferring = (build(mlp_concrete_dropout.model, [inputs], outputs, HPARAMS | (hparams or {}), mode=mode)
                          for mode in ("train", "infer"))
    inferring.set_weights(trained.get_weights())
    return trained, inferring


def loss_for(labels: np.ndarray):
    return lambda outputs: tf.reduce_mean(gaussian_negative_log_likelihood(
        labels, outputs["prediction_mean"], outputs["prediction_log_variance"]))


def gates(probability: float, temperature: float, *, num_samples: int) -> np.ndarray:
    """Draws of a layer's gate, made visible by ones as inputs and the identity as kernel."""
    layer = ConcreteDropoutDense(4, num_train_samples=1, initial_probability=probability, temperature=temperature)
    layer.build((None, 4))
    layer.kernel.assign(np.eye(4))
    return layer(np.ones([num_samples, 4], np.float32), training=True).numpy()


@pytest.mark.parametrize(("probability", "temperature"), [(0.1, 0.1), (0.4, 0.1), (0.3, 0.5)])
def test_the_gate_has_the_distribution_of_the_paper(probability, temperature):
    uniform = (np.arange(400_000) + 0.5) / 400_000
    logit = np.log(probability / (1 - probability)) + np.log(uniform / (1 - uniform))
    expected = (1 - 1 / (1 + np.exp(-logit / temperature))) / (1 - probability)
    drawn = gates(probability, temperature, num_samples=50_000)
    assert drawn.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / np.sqrt(drawn.size))
    np.testing.assert_allclose(np.quantile(drawn, [0.05, 0.25, 0.5, 0.75]), np.quantile(expected, [0.05, 0.25, 0.5, 0.75]),
                               atol=0.02)


def test_a_cold_gate_drops_with_its_probability_and_keeps_the_mean():
    drawn = gates(0.2, 0.01, num_samples=50_000)
    assert np.mean(drawn < 0.5) == pytest.approx(0.2, abs=0.01)
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("probability", [0.001, 0.3, 0.9])
def test_the_regulariser_equals_the_formula(probability):
    layer = ConcreteDropoutDense(4, num_train_samples=70, length_scale=0.5, initial_probability=probability)
    layer(noise(2, 6))
    entropy = -probability * np.log(probability) - (1 - probability) * np.log(1 - probability)
    norm = np.sum(np.square(layer.kernel.numpy(), dtype=np.float64))
    expected = (0.5 ** 2 / 2 * norm / (1 - probability) - 6 * entropy) / 70
    assert [float(loss) for loss in layer.losses] == [pytest.approx(expected, rel=1e-4)]


def test_each_sample_of_a_training_has_a_gate_of_its_own_and_inference_none():
    layer = ConcreteDropoutDense(3, num_train_samples=1, initial_probability=0.5)
    data = np.ones([50, 6], np.float32)
    assert len(np.unique(layer(data, training=True).numpy(), axis=0)) > 40
    np.testing.assert_allclose(layer(data), data @ layer.kernel.numpy(), rtol=1e-5)


def test_a_network_has_one_regulariser_a_layer_in_both_modes():
    trained, inferring = both_modes()
    for network in (trained, inferring):
        network(noise(4, 3))
        assert len(network.losses) == 4
    assert [float(loss) for loss in trained.losses] == pytest.approx([float(loss) for loss in inferring.losses])


@pytest.mark.parametrize("drop_inputs", [True, False])
def test_both_modes_have_the_same_weights_in_the_same_order(drop_inputs):
    trained, inferring = both_modes(hparams={"drop_inputs": drop_inputs})
    assert [weight.path for weight in trained.weights] == [weight.path for weight in inferring.weights]


@pytest.mark.parametrize(("inputs", "outputs", "units", "layers"), [(3, 2, 8, 2), (13, 1, 64, 3)])
def test_the_parameters_are_those_of_the_formula(inputs, outputs, units, layers):
    trained, _ = both_modes(inputs, outputs, {"hiddenNeurons": units, "hiddenLayers": layers})
    assert count_trainable(trained) == ((inputs + 1) * units + (layers - 1) * (units + 1) * units + 2 * (units + 1) * outputs
                                        + layers + 2)


@pytest.mark.parametrize("inputs", [3, 5])
def test_the_outputs_have_their_shapes(inputs):
    trained, inferring = both_modes(inputs)
    expected = {"prediction_mean": (4, 2), "prediction_log_variance": (4, 2), "code": (4, 8)}
    assert output_shapes(trained, noise(4, inputs)) == expected
    expected |= dict.fromkeys(("epistemic_deviation", "aleatoric_deviation"), (4, 2))
    assert output_shapes(inferring, noise(4, inputs)) == expected


def test_the_served_values_are_those_of_the_mixture_of_all_draws():
    _, inferring = both_modes()
    data = noise(5, 3)
    draws = keras.Model(inferring.input, [inferring.get_layer(name).output
                                          for name in ("prediction_mean", "prediction_log_variance")])
    means, log_variances = (tensor.numpy().astype(np.float64) for tensor in draws(data))
    assert means.shape == (5, 20, 2) and (np.std(means, axis=1) > 0).all()
    # The moments of the mixture, by many samples of each of its parts.
    samples = means + np.exp(log_variances / 2) * np.random.default_rng(0).normal(size=[20_000, 5, 20, 2])
    outputs = {name: tensor.numpy() for name, tensor in inferring(data).items()}
    np.testing.assert_allclose(np.exp(outputs["prediction_log_variance"]), np.var(samples, axis=(0, 2)), rtol=0.03)
    np.testing.assert_allclose(outputs["prediction_mean"], means.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["epistemic_deviation"], means.std(axis=1), rtol=1e-4)
    np.testing.assert_allclose(outputs["aleatoric_deviation"], np.sqrt(np.exp(log_variances).mean(axis=1)), rtol=1e-4)


def test_an_answer_can_be_repeated_and_does_not_depend_on_the_rest_of_the_batch():
    _, inferring = both_modes()
    data = noise(6, 3)
    together = inferring(data)["epistemic_deviation"].numpy()
    np.testing.assert_array_equal(inferring(data)["epistemic_deviation"], together)
    compiled = tf.function(inferring, jit_compile=True)(data)["epistemic_deviation"]  # XLA has random numbers of its own
    np.testing.assert_allclose(compiled, together, rtol=1e-4)
    alone = np.concatenate([inferring(data[[index]])["epistemic_deviation"] for index in range(6)])
    np.testing.assert_allclose(alone, together, rtol=1e-4)


def test_layers_draw_gates_independent_of_each_other():
    _, inferring = both_modes(8, hparams={"monte_carlo_draws": 200})
    layers = [layer for layer in inferring.layers if isinstance(layer, ConcreteDropoutDense)]
    drawn = [layer._gate(layer._fixed_uniform).numpy().ravel() for layer in layers]
    assert {gates.size for gates in drawn} == {200 * 8}
    correlations = np.corrcoef(drawn)[np.triu_indices(4, k=1)]
    assert np.abs(correlations).max() < 0.15


def test_without_drops_both_modes_agree():
    trained, inferring = both_modes(hparams={"initial_dropout": 1e-6})
    data = noise(4, 3)
    for name, tensor in trained(data, training=True).items():
        np.testing.assert_allclose(inferring(data)[name], tensor, rtol=1e-2, atol=1e-3)


def test_it_learns_and_survives_its_export(tmp_path):
    trained, inferring = both_modes()
    data = noise(8, 3)
    assert_one_step_lowers_the_loss(trained, data, loss_for(noise(8, 2)))
    assert_export_and_reload_answer_equally(inferring, data, tmp_path)


def answers_after_training(num_samples: int, x: np.ndarray) -> dict[str, np.ndarray]:
    """Fits sin 3x between −1 and 1 with noise of 0.1 on the left and 0.3 on the right, then answers at x."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    known = generator.uniform(-1, 1, [num_samples, 1]).astype(np.float32)
    truth = np.sin(3 * known) + generator.normal(size=known.shape) * np.where(known > 0, 0.3, 0.1)
    trained, inferring = both_modes(1, 1, {"nb_train_samples": num_samples, "hiddenNeurons": 64, "initial_dropout": 0.1,
                                           "drop_inputs": False})
    optimizer, loss = keras.optimizers.Adam(0.01), loss_for(truth)
    optimizer.build(trained.trainable_variables)

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            total = tf.add_n([loss(trained(known, training=True)), *trained.losses])
        optimizer.apply_gradients(zip(tape.gradient(total, trained.trainable_variables), trained.trainable_variables))

    for _ in range(600):
        step()
    inferring.set_weights(trained.get_weights())
    return {name: tensor.numpy() for name, tensor in inferring(x).items()}


@pytest.mark.slow
def test_it_learns_the_curve_and_the_noise_of_each_side():
    x = np.linspace(-0.9, 0.9, 40, dtype=np.float32)[:, None]
    answers = answers_after_training(1000, x)
    assert np.sqrt(np.mean((answers["prediction_mean"] - np.sin(3 * x)) ** 2)) < 0.1
    assert answers["aleatoric_deviation"][x > 0.2].mean() == pytest.approx(0.3, rel=0.15)
    assert answers["aleatoric_deviation"][x < -0.2].mean() == pytest.approx(0.1, rel=0.3)


@pytest.mark.slow
def test_it_doubts_more_with_fewer_data_and_far_from_them():
    x = np.linspace(-4, 4, 41, dtype=np.float32)[:, None]
    few, many = (answers_after_training(number, x)["epistemic_deviation"] for number in (100, 1000))
    is_known = np.abs(x) < 0.9
    assert few[~is_known].mean() > 1.5 * few[is_known].mean()
    assert few[is_known].mean() > 2 * many[is_known].mean()


def test_inputs_that_are_not_dropped_have_a_plain_layer_with_the_same_prior():
    for network in both_modes(hparams={"drop_inputs": False, "length_scale": 0.7}):
        layer = network.get_layer("hidden_1")
        assert type(layer) is keras.layers.Dense
        expected = 0.7 ** 2 / 2 * np.sum(np.square(layer.kernel.numpy())) / HPARAMS["nb_train_samples"]
        assert [float(loss) for loss in layer.losses] == [pytest.approx(expected, rel=1e-4)]


@pytest.mark.parametrize(("changed", "message"), [
    ({"initial_dropout": 0}, r"hparams\['initial_dropout'\] must be a number above 0 and below 1. Got 0"),
    ({"monte_carlo_draws": 1}, r"hparams\['monte_carlo_draws'\] must be an int of at least 2. Got 1"),
    ({"nb_train_samples": 0}, r"hparams\['nb_train_samples'\] must be an int of at least 1")])
def test_it_refuses_what_it_cannot_build(changed, message):
    with pytest.raises(ValueError, match=message):
        both_modes(hparams=changed)


def test_the_number_of_training_samples_must_be_told():
    with pytest.raises(ValueError, match=r"hparams lacks 'nb_train_samples', .* Add it to hparams in the settings file."):
        build(mlp_concrete_dropout.model, [3], 1, {})


def test_data_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"data must be \[batch, num_inputs\]. Got the shape \(None, 3, 2\)"):
        build(mlp_concrete_dropout.model, [3, 2], 1, HPARAMS)
