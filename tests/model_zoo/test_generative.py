"""The variational autoencoder of the zoo and the two parts of its loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
from sklearn.datasets import load_digits

from model_zoo import variational_autoencoder
from model_zoo.losses.evidence_lower_bound import bernoulli_negative_log_likelihood, divergence_from_standard_normal
from tests.support.model_zoo_checks import (
    assert_export_and_reload_answer_equally,
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)

SMALL = {"filters": 4, "hiddenNeurons": 16}


def network_for(image_shape, latent_size, hparams):
    specs = {"image": tf.TensorSpec([None, *image_shape]), "latent": tf.TensorSpec([None, latent_size])}
    return build(variational_autoencoder.model, specs, hparams=hparams)


def inputs_of(image_shape, latent_size, num_samples=3, seed=0):
    random = np.random.default_rng(seed)
    return {"image": tf.constant(random.random([num_samples, *image_shape]), tf.float32),
            "latent": tf.constant(random.normal(size=[num_samples, latent_size]), tf.float32)}


def negative_bound(images, outputs):
    return tf.reduce_mean(bernoulli_negative_log_likelihood(images, outputs["reconstruction"])
                          + divergence_from_standard_normal(outputs["code"], outputs["code_log_variance"]))


@pytest.mark.parametrize(("image_shape", "latent_size", "depth"), [
    ((8, 8, 1), 4, 2), ((9, 13, 3), 5, 2), ((7, 16, 2), 1, 3), ((1, 1, 1), 2, 1)])
def test_images_of_any_fixed_size_come_back_in_their_size(image_shape, latent_size, depth):
    network = network_for(image_shape, latent_size, {**SMALL, "depth": depth})
    assert output_shapes(network, inputs_of(image_shape, latent_size)) == {
        "code": (3, latent_size), "code_log_variance": (3, latent_size),
        "reconstruction": (3, *image_shape), "generated": (3, *image_shape)}


def test_the_parameters_are_those_of_the_docstring():
    network = network_for((8, 8, 1), 8, {})
    assert f"{count_trainable(network):,}" in variational_autoencoder.__doc__
    convolutions, dense = 9 * 1 * 32 + 32 + 9 * 32 * 64 + 64, 256 * 256 + 256
    encoder = convolutions + dense + 2 * (256 * 8 + 8)
    decoder = (8 * 256 + 256) + dense + (9 * 64 * 64 + 64) + (9 * 64 * 32 + 32) + 9 * 32 + 1
    assert count_trainable(network) == encoder + decoder


def test_one_step_lowers_the_loss():
    keras.utils.set_random_seed(0)
    inputs = inputs_of((9, 7, 1), 4)
    assert_one_step_lowers_the_loss(network_for((9, 7, 1), 4, SMALL), inputs,
                                    lambda outputs: negative_bound(inputs["image"], outputs), learning_rate=3e-3)


def test_the_export_answers_as_the_network(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = {name: tensor.numpy() for name, tensor in inputs_of((9, 7, 1), 4).items()}
    assert_export_and_reload_answer_equally(network_for((9, 7, 1), 4, SMALL), inputs, tmp_path)


def test_what_is_reconstructed_is_what_the_sampled_code_generates():
    network = network_for((8, 8, 1), 4, SMALL)
    inputs = inputs_of((8, 8, 1), 4)
    outputs = network(inputs)
    sampled = outputs["code"] + np.exp(outputs["code_log_variance"] / 2) * inputs["latent"]
    other_images = inputs_of((8, 8, 1), 4, seed=1)["image"]
    again = network({"image": other_images, "latent": sampled})
    np.testing.assert_allclose(again["generated"], outputs["reconstruction"], rtol=1e-4, atol=1e-6)
    assert np.abs(outputs["generated"] - outputs["reconstruction"]).max() > 1e-4


def test_zeros_reconstruct_from_the_code_itself():
    network = network_for((8, 8, 1), 4, SMALL)
    inputs = inputs_of((8, 8, 1), 4)
    outputs = network(inputs | {"latent": tf.zeros([3, 4])})
    generated = network(inputs | {"latent": outputs["code"]})["generated"]
    np.testing.assert_allclose(outputs["reconstruction"], generated, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_brief_training_on_digits_beats_the_mean_image():
    """The mean image is the best that a model can say who does not look."""
    digits = (load_digits().images[..., None] / 16).astype(np.float32)
    seen, held_out = digits[:1440], digits[1440:]
    keras.utils.set_random_seed(0)
    network, optimizer = network_for((8, 8, 1), 8, {}), keras.optimizers.Adam(0.003)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = negative_bound(batch, network({"image": batch, "latent": tf.random.normal([tf.shape(batch)[0], 8])}))
        optimizer.apply_gradients(zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables))

    for batch in tf.data.Dataset.from_tensor_slices(seen).shuffle(1440, seed=0).repeat(20).batch(64, drop_remainder=True):
        step(batch)
    latent = tf.random.stateless_normal([len(held_out), 8], seed=[0, 0])
    bound = float(negative_bound(held_out, network({"image": tf.constant(held_out), "latent": latent})))
    mean = np.clip(seen.mean(axis=0), 1e-3, 1 - 1e-3)
    baseline = -(held_out * np.log(mean) + (1 - held_out) * np.log(1 - mean)).sum(axis=(1, 2, 3)).mean()
    assert bound < baseline - 0.5


def test_the_heads_of_the_code_are_in_full_precision_when_the_rest_is_not():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        outputs = network_for((8, 8, 1), 4, SMALL)(inputs_of((8, 8, 1), 4))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {name: tensor.dtype.name for name, tensor in outputs.items()} == {
        "code": "float32", "code_log_variance": "float32", "reconstruction": "bfloat16", "generated": "bfloat16"}


@pytest.mark.parametrize(("data", "message"), [
    ({"image": [8, 8, 1]}, r"dict with 'image' and 'latent'.*Got \['image'\]"),
    (None, "dict with 'image' and 'latent'.*Got KerasTensor"),
    ({"image": [None, 8, 1], "latent": [4]}, r"known sizes. Got \(None, None, 8, 1\)"),
    ({"image": [8, 8], "latent": [4]}, "must be .batch, height, width, channels"),
    ({"image": [8, 8, 1], "latent": [None]}, "must be .batch, latent size"),
])
def test_bad_inputs_are_named(data, message):
    tensors = keras.Input([8, 8, 1]) if data is None else {name: keras.Input(shape) for name, shape in data.items()}
    with pytest.raises(ValueError, match=message):
        variational_autoencoder.model(data=tensors, hparams={})


def test_the_divergence_is_the_integral_of_its_definition():
    random = np.random.default_rng(0)
    means, log_variances = random.normal(size=[2, 3]), random.normal(size=[2, 3])

    def integral(mean, deviation):
        one, other = scipy.stats.norm(mean, deviation), scipy.stats.norm()
        return scipy.integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)),
                                    mean - 12 * deviation, mean + 12 * deviation)[0]

    expected = [sum(integral(mean, np.exp(log_variance / 2)) for mean, log_variance in zip(*row))
                for row in zip(means, log_variances)]
    np.testing.assert_allclose(divergence_from_standard_normal(means, log_variances), expected, rtol=1e-4)
    np.testing.assert_array_equal(divergence_from_standard_normal(np.zeros([2, 3]), np.zeros([2, 3])), [0, 0])


def test_the_likelihood_is_that_of_independent_coins():
    random = np.random.default_rng(1)
    images, logits = random.integers(0, 2, [2, 3, 4, 1]), random.normal(scale=3, size=[2, 3, 4, 1])
    expected = -scipy.stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(bernoulli_negative_log_likelihood(images, logits), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="one shape"):
        bernoulli_negative_log_likelihood(images, logits[..., 0])
