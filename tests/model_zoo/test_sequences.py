"""Temporal convolutional network, N-BEATS and the 1D autoencoder: sizes, causality, residual structure, learning, export."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_zoo import densenet_autoencoder_1d, n_beats
from model_zoo import temporal_convolutional_network as tcn
from model_zoo.layers import basis_expansion
from model_zoo.layers.weight_normalised_causal_convolution import WeightNormalisedCausalConvolution
from tests.support.model_zoo_checks import (
    assert_export_and_reload_answer_equally,
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def weights_of(network: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for weight in network.weights}


def randomise(network: keras.Model) -> None:
    """Other values than the initial ones, so that biases and gains count."""
    generator = np.random.default_rng(1)
    for weight in network.trainable_weights:
        weight.assign(weight + generator.normal(0, 0.1, weight.shape))


@pytest.mark.parametrize("steps", [7, 40])
@pytest.mark.parametrize(("predicted", "shape"), [("last", ()), ("all", ("steps",))])
def test_tcn_outputs_have_their_shapes(steps, predicted, shape):
    network = build(tcn.model, [None, 2], 3, {"filters": 5, "levels": 2, "predict_steps": predicted})
    shape = tuple(steps for _ in shape)
    assert output_shapes(network, noise(4, steps, 2)) == {"code": (4, 5), "prediction": (4, *shape, 3)}


@pytest.mark.parametrize(("channels", "outputs", "filters", "kernel_size", "levels"), [(2, 1, 24, 8, 8), (4, 3, 4, 2, 3)])
def test_tcn_has_the_parameters_of_its_formula(channels, outputs, filters, kernel_size, levels):
    network = build(tcn.model, [None, channels], outputs, {"filters": filters, "kernel_size": kernel_size, "levels": levels})
    expected = ((kernel_size * (channels + filters) + 4) * filters + (channels + 1) * filters * (channels != filters)
                + (levels - 1) * (2 * kernel_size * filters + 4) * filters + (filters + 1) * outputs)
    assert count_trainable(network) == expected


def test_tcn_for_the_adding_problem_has_the_size_in_the_paper():
    network = build(tcn.model, [600, 2], 1, {"filters": 24, "kernel_size": 8, "levels": 8})
    assert count_trainable(network) == 70_369
    assert round(count_trainable(network), -4) == 70_000  # table 1 of the paper: about 70 K


def test_tcn_a_later_input_does_not_change_an_earlier_output():
    network = build(tcn.model, [None, 2], 3, {"filters": 5, "levels": 3, "predict_steps": "all"})
    data = noise(2, 30, 2)
    changed = data.copy()
    changed[:, 17] += 1
    one, other = (network(values, training=False)["prediction"].numpy() for values in (data, changed))
    np.testing.assert_array_equal(one[:, :17], other[:, :17])
    assert (one[:, 17] != other[:, 17]).all()


@pytest.mark.parametrize(("kernel_size", "levels", "expected"), [(2, 1, 3), (3, 2, 13), (2, 4, 31)])
def test_tcn_the_last_prediction_sees_exactly_its_receptive_field(kernel_size, levels, expected):
    network = build(tcn.model, [None, 1], 1, {"filters": 2, "kernel_size": kernel_size, "levels": levels})
    for weight in network.trainable_weights:  # positive, so that no ReLU hides an input
        weight.assign(tf.fill(weight.shape, 0.1))
    data = tf.ones([1, 50, 1])
    with tf.GradientTape() as tape:
        tape.watch(data)
        prediction = network(data, training=False)["prediction"]
    seen = np.flatnonzero(tape.gradient(prediction, data)[0, :, 0])
    assert tcn.receptive_field(kernel_size=kernel_size, levels=levels) == expected
    assert seen.tolist() == list(range(50 - expected, 50))


def test_weight_normalised_convolution_equals_numpy():
    layer = WeightNormalisedCausalConvolution(4, 3, dilation_rate=2)
    data = noise(2, 9, 5)
    layer(data)
    direction, gain, bias = noise(3, 5, 4), np.array([1.0, -2.0, 0.5, 3.0], np.float32), noise(4)
    layer.set_weights([direction, gain, bias])
    kernel = gain * direction / np.linalg.norm(direction.reshape(-1, 4), axis=0)
    expected = np.tile(bias, [2, 9, 1])
    for time in range(9):
        for tap in range(3):
            source = time - 2 * (2 - tap)
            if source >= 0:
                expected[:, time] += data[:, source] @ kernel[tap]
    np.testing.assert_allclose(layer(data), expected, rtol=1e-4, atol=1e-5)


def test_weight_normalised_kernels_begin_with_the_variance_of_he():
    layer = WeightNormalisedCausalConvolution(64, 3)
    layer(noise(1, 4, 32))
    kernel = layer.gain * layer.direction / tf.norm(tf.reshape(layer.direction, [-1, 64]), axis=0)
    assert np.var(kernel) == pytest.approx(2 / (3 * 32), rel=0.01)


def test_tcn_learns_and_survives_its_export(tmp_path):
    network = build(tcn.model, [None, 2], 3, {"filters": 8, "levels": 3, "dropout": 0.3})
    data, labels = noise(8, 20, 2), noise(8, 3)
    assert_one_step_lowers_the_loss(network, data, lambda outputs: tf.reduce_mean((outputs["prediction"] - labels) ** 2))
    assert_export_and_reload_answer_equally(network, data, tmp_path)


def test_tcn_dropout_drops_whole_channels():
    layer = next(layer for layer in build(tcn.model, [None, 1], 1, {}).layers if "dropout" in layer.name)
    dropped = layer(np.ones([4, 10, 32], np.float32), training=True).numpy() == 0
    assert 0 < dropped.mean() < 1
    assert (dropped.all(axis=1) | ~dropped.any(axis=1)).all()


@pytest.mark.parametrize(("shape", "hparams", "message"), [
    ([10], {}, r"data must be \[batch, time, channels\]"),
    ([10, 1], {"levels": 0}, r"hparams\['levels'\] must be an int of at least 1. Got 0"),
    ([10, 1], {"dropout": 1.0}, r"hparams\['dropout'\] must be a number at least 0 and below 1. Got 1.0"),
    ([10, 1], {"predict_steps": "first"}, "must be one of 'last', 'all'. Got 'first'")])
def test_tcn_refuses_what_it_cannot_build(shape, hparams, message):
    with pytest.raises(ValueError, match=message):
        build(tcn.model, shape, 1, hparams)


def test_polynomials_equal_numpy():
    expected = [[(step / 5) ** power for step in range(5)] for power in range(4)]
    np.testing.assert_allclose(basis_expansion.polynomials(5, degree=3), expected)


@pytest.mark.parametrize(("horizon", "highest"), [(1, 0), (2, 0), (3, 0), (4, 1), (7, 2), (12, 5)])
def test_harmonics_equal_the_formula_of_the_paper(horizon, highest):
    steps = np.arange(-6, horizon)
    assert highest == max(0, np.floor(horizon / 2 - 1))
    expected = [np.ones(len(steps)), *(np.cos(2 * np.pi * i * steps / horizon) for i in range(1, highest + 1)),
                *(np.sin(2 * np.pi * i * steps / horizon) for i in range(1, highest + 1))]
    np.testing.assert_allclose(basis_expansion.harmonics(steps, horizon=horizon), expected, atol=1e-12)


def n_beats_in_numpy(network: keras.Model, data: np.ndarray, *, horizon: int, blocks: list[tuple[str, str]],
                     layers: int) -> dict[str, np.ndarray]:
    """The doubly residual stacks of the paper; blocks: (stack, name of the weights) in order."""
    weights, backcast = weights_of(network), data.shape[1]
    bases = {"trend": [np.power.outer(np.arange(m) / m, np.arange(3)).T for m in (backcast, horizon)],
             "seasonality": [basis_expansion.harmonics(steps, horizon=horizon)
                             for steps in (np.arange(-backcast, 0), np.arange(horizon))]}
    residual, forecasts = data.astype(np.float64), {}
    for stack, name in blocks:
        hidden = residual
        for layer in range(1, layers + 1):
            hidden = np.maximum(hidden @ weights[f"{name}_hidden_{layer}/kernel"] + weights[f"{name}_hidden_{layer}/bias"], 0)
        sides = []
        for number, side in enumerate(("backcast", "forecast")):
            if f"{name}_{side}_coefficients/kernel" not in weights:
                sides.append(np.nan)  # the last block of all
                continue
            coefficients = hidden @ weights[f"{name}_{side}_coefficients/kernel"]
            sides.append(coefficients @ bases[stack][number] if stack in bases else
                         coefficients @ weights[f"{name}_{side}/kernel"] + weights[f"{name}_{side}/bias"])
        residual = residual - sides[0]
        forecasts[stack] = forecasts.get(stack, 0) + sides[1]
    return forecasts


@pytest.mark.parametrize("share_weights", [False, True])
def test_generic_n_beats_equals_numpy(share_weights):
    network = build(n_beats.model, [10], 4, {"stacks": 3, "blocks_per_stack": 2, "hiddenNeurons": 7, "hiddenLayers": 2,
                                             "basis_size": 3, "share_weights": share_weights})
    randomise(network)
    blocks = [(f"stack_{stack}", f"stack_{stack}_block_{1 if share_weights else block}")
              for stack in (1, 2, 3) for block in (1, 2)]
    data = noise(5, 10)
    expected = n_beats_in_numpy(network, data, horizon=4, blocks=blocks, layers=2)
    outputs = network(data, training=False)
    assert set(outputs) == {"forecast"}
    np.testing.assert_allclose(outputs["forecast"], sum(expected.values()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("share_weights", [True, False])
def test_interpretable_n_beats_equals_numpy(share_weights):
    network = build(n_beats.model, [10], 7, {"architecture": "interpretable", "hiddenNeurons": 8, "hiddenLayers": 2,
                                             "blocks_per_stack": 2, "share_weights": share_weights})
    randomise(network)
    blocks = [(stack, f"{stack}_block_{1 if share_weights else block}")
              for stack in ("trend", "seasonality") for block in (1, 2)]
    data = noise(5, 10)
    expected = n_beats_in_numpy(network, data, horizon=7, blocks=blocks, layers=2)
    outputs = network(data, training=False)
    for stack, forecast in expected.items():
        np.testing.assert_allclose(outputs[stack], forecast, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(outputs["forecast"], sum(expected.values()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backcast", [12, 25])
def test_n_beats_outputs_have_their_shapes(backcast):
    network = build(n_beats.model, [backcast], 5, {"architecture": "interpretable", "hiddenNeurons": 8})
    assert output_shapes(network, noise(3, backcast)) == dict.fromkeys(("forecast", "trend", "seasonality"), (3, 5))


def test_n_beats_has_the_parameters_of_its_formula():
    backcast, horizon, units, layers, size = 30, 6, 20, 3, 5
    hidden = (backcast + 1) * units + (layers - 1) * (units + 1) * units
    options = {"hiddenNeurons": units, "hiddenLayers": layers}

    def generic(steps: int) -> int:
        return units * size + (size + 1) * steps

    network = build(n_beats.model, [backcast], horizon, {"stacks": 3, "basis_size": size} | options)
    assert count_trainable(network) == 3 * (hidden + generic(backcast) + generic(horizon)) - generic(backcast)
    network = build(n_beats.model, [backcast], horizon, {"architecture": "interpretable", "polynomial_degree": 3} | options)
    assert count_trainable(network) == 2 * hidden + 2 * 4 * units + 2 * 5 * units


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["generic", "interpretable"])
def test_n_beats_learns_and_survives_its_export(tmp_path, architecture):
    network = build(n_beats.model, [20], 6, {"architecture": architecture, "hiddenNeurons": 16})
    data, labels = noise(8, 20), noise(8, 6)
    assert_one_step_lowers_the_loss(network, data, lambda outputs: tf.reduce_mean((outputs["forecast"] - labels) ** 2))
    assert_export_and_reload_answer_equally(network, data, tmp_path)


@pytest.mark.parametrize(("shape", "outputs", "hparams", "message"), [
    ([None], 4, {}, "known number of steps"), ([10, 2], 4, {}, r"data must be \[batch, backcast\]"),
    ([10], None, {}, "n_outputs, the number of steps to forecast, must be an int of at least 1. Got None"),
    ([10], 4, {"architecture": "generic+trend"}, "must be one of 'generic', 'interpretable'"),
    ([10], 4, {"share_weights": 1}, r"hparams\['share_weights'\] must be True or False. Got 1")])
def test_n_beats_refuses_what_it_cannot_build(shape, outputs, hparams, message):
    with pytest.raises(ValueError, match=message):
        build(n_beats.model, shape, outputs, hparams)


@pytest.mark.parametrize("steps", [32, 27, 5])
def test_autoencoder_reconstructs_signals_of_any_length(steps):
    network = build(densenet_autoencoder_1d.model, [steps, 3], None, {"code_size": 4, "layers_per_block": 1})
    assert output_shapes(network, noise(2, steps, 3)) == {"code": (2, 4), "reconstruction": (2, steps, 3)}


def autoencoder_parameters(*, steps: int, channels: int, code: int, blocks: int, layers: int, growth: int, filters: int,
                           compression: float) -> int:
    def dense_block(width: int) -> tuple[int, int]:
        number = sum(2 * (width + i * growth) + 3 * (width + i * growth) * growth for i in range(layers))
        width += layers * growth
        kept = int(width * compression)
        return number + 2 * width + width * kept, kept

    total, width = (3 * channels + 1) * filters, filters
    for _ in range(blocks):
        number, width = dense_block(width)
        total, steps = total + number, -(-steps // 2)
    total += 2 * width + (steps * width + 1) * code + (code + 1) * steps * width
    for _ in range(blocks):
        total += (3 * width + 1) * width
        number, width = dense_block(width)
        total += number
    return total + (2 + channels) * width + channels


@pytest.mark.parametrize(("steps", "options"), [
    (128, {}), (45, {"code_size": 3, "blocks": 2, "layers_per_block": 2, "growth_rate": 5, "filters": 7, "compression": 0.7})])
def test_autoencoder_has_the_parameters_of_its_formula(steps, options):
    defaults = {"code_size": 16, "blocks": 3, "layers_per_block": 3, "growth_rate": 12, "filters": 24, "compression": 0.5}
    chosen = defaults | options
    expected = autoencoder_parameters(steps=steps, channels=3, **{
        {"code_size": "code", "layers_per_block": "layers", "growth_rate": "growth"}.get(name, name): value
        for name, value in chosen.items()})
    assert count_trainable(build(densenet_autoencoder_1d.model, [steps, 3], None, options)) == expected
    assert options or expected == 73_916


def test_autoencoder_reconstructs_from_the_code_alone():
    network = build(densenet_autoencoder_1d.model, [20, 2], None, {})
    decoder = keras.Model(network.output["code"], network.output["reconstruction"])  # fails if anything else leads there
    outputs = network(noise(3, 20, 2), training=False)
    np.testing.assert_allclose(decoder(outputs["code"], training=False), outputs["reconstruction"], rtol=1e-5, atol=1e-6)


def test_autoencoder_layers_see_the_features_of_all_before_them():
    network = build(densenet_autoencoder_1d.model, [16, 2], None, {"filters": 6, "growth_rate": 5, "layers_per_block": 3})
    widths = [network.get_layer(f"encoder_1_layer_{layer}").input.shape[-1] for layer in (1, 2, 3)]
    assert widths == [6, 11, 16]


def test_autoencoder_noise_is_added_in_training_only():
    network = build(densenet_autoencoder_1d.model, [16, 2], None, {"input_noise": 0.5, "layers_per_block": 1})
    data = np.full([100, 16, 2], 3.0, np.float32)
    layer = network.get_layer("encoder_noise")
    np.testing.assert_array_equal(layer(data, training=False), data)
    assert np.std(layer(data, training=True) - data) == pytest.approx(0.5, rel=0.05)
    assert network.get_layer("encoder_start").input is layer.output


@pytest.mark.slow
def test_autoencoder_learns_and_survives_its_export(tmp_path):
    network = build(densenet_autoencoder_1d.model, [27, 2], None, {"dropout": 0.2, "blocks": 2, "layers_per_block": 1})
    data = noise(8, 27, 2)
    assert_one_step_lowers_the_loss(network, data, lambda outputs: tf.reduce_mean((outputs["reconstruction"] - data) ** 2))
    assert_export_and_reload_answer_equally(network, data, tmp_path)


@pytest.mark.parametrize(("shape", "hparams", "message"), [
    ([None, 2], {}, "with a known time"), ([20], {}, r"data must be \[batch, time, channels\]"),
    ([20, 2], {"compression": 1.5}, "must be a number above 0 and at most 1. Got 1.5"),
    ([20, 2], {"code_size": "16"}, "must be an int of at least 1. Got '16'")])
def test_autoencoder_refuses_what_it_cannot_build(shape, hparams, message):
    with pytest.raises(ValueError, match=message):
        build(densenet_autoencoder_1d.model, shape, None, hparams)
