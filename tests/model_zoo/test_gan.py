"""The Wasserstein GAN of the zoo and its losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import tensorflow as tf

from model_zoo import wasserstein_gan
from model_zoo.losses.wasserstein import critic_loss, energy_distance, gradient_penalty
from tests.support.model_zoo_checks import assert_export_and_reload_answer_equally, build, count_trainable, output_shapes

SMALL = {"hiddenNeurons": 16}


def network_for(image_shape, latent_size, hparams):
    specs = {"image": tf.TensorSpec([None, *image_shape]), "latent": tf.TensorSpec([None, latent_size])}
    return build(wasserstein_gan.model, specs, hparams=hparams)


def inputs_of(image_shape, latent_size, num_samples=3):
    random = np.random.default_rng(0)
    return {"image": tf.constant(random.random([num_samples, *image_shape]), tf.float32),
            "latent": tf.constant(random.normal(size=[num_samples, latent_size]), tf.float32)}


@pytest.mark.parametrize(("image_shape", "latent_size"), [((8, 8, 1), 16), ((5, 7, 3), 2)])
def test_images_have_the_size_of_the_real_ones_and_scores_are_a_number_each(image_shape, latent_size):
    shapes = output_shapes(network_for(image_shape, latent_size, SMALL), inputs_of(image_shape, latent_size))
    assert shapes == {"generated": (3, *image_shape), "interpolated": (3, *image_shape), "image_score": (3,),
                      "generated_score": (3,), "interpolated_score": (3,)}


def test_the_parameters_are_those_of_the_docstring():
    network = network_for((8, 8, 1), 16, {})
    generator = 16 * 128 + 128 + 128 * 128 + 128 + 128 * 64 + 64
    critic = 64 * 128 + 128 + 128 * 128 + 128 + 128
    assert count_trainable(network) == generator + critic
    assert f"{generator + critic:,}" in wasserstein_gan.__doc__
    assert count_trainable(network.get_layer("generator")) == generator


def test_interpolated_images_lie_between_drawn_anew_in_training_and_in_the_middle_otherwise():
    network, inputs = network_for((4, 4, 1), 2, SMALL), inputs_of((4, 4, 1), 2, 500)
    outputs = network(inputs, training=True)
    share = (outputs["interpolated"] - outputs["generated"]) / (inputs["image"] - outputs["generated"])
    share = np.median(np.reshape(share, [500, -1]), axis=1)  # where both are nearly equal, it is hardly known
    assert scipy.stats.kstest(share, "uniform").pvalue > 1e-3
    assert np.abs(network(inputs, training=True)["interpolated"] - outputs["interpolated"]).max() > 0.01
    middle = network(inputs, training=False)
    np.testing.assert_allclose(middle["interpolated"], (inputs["image"] + middle["generated"]) / 2, rtol=1e-6)


def test_the_export_answers_as_the_network(tmp_path):
    inputs = {name: tensor.numpy() for name, tensor in inputs_of((5, 7, 3), 2).items()}
    assert_export_and_reload_answer_equally(network_for((5, 7, 3), 2, SMALL), inputs, tmp_path)


def test_bad_inputs_are_named():
    with pytest.raises(ValueError, match="dict with 'image' and 'latent'"):
        wasserstein_gan.model(data=keras.Input([8, 8, 1]), hparams={})


def test_the_losses_are_those_of_the_paper():
    random = np.random.default_rng(0)
    real, generated, slopes = random.normal(size=5), random.normal(size=5), random.normal(size=[5, 4, 3, 2])
    assert float(critic_loss(real, generated)) == pytest.approx(generated.mean() - real.mean())
    norms = np.linalg.norm(slopes.reshape(5, -1), axis=1)
    assert float(gradient_penalty(tf.constant(slopes))) == pytest.approx(np.mean((norms - 1) ** 2))
    assert float(gradient_penalty(tf.ones([2, 1, 1, 1]))) == pytest.approx(0, abs=1e-6)


def test_a_gradient_of_zero_does_not_spoil_the_weights():
    slopes = tf.Variable(tf.zeros([2, 3]))
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(slopes)
    assert np.isfinite(tape.gradient(penalty, slopes)).all()


def test_the_energy_distance_is_that_of_scipy_and_of_all_pairs():
    random = np.random.default_rng(0)
    one, other = random.normal(size=[7, 1]), random.normal(1, 2, size=[9, 1])
    assert float(energy_distance(one, other)) == pytest.approx(scipy.stats.energy_distance(one[:, 0], other[:, 0]) ** 2)
    one, other = random.normal(size=[7, 2, 3, 1]), random.normal(1, 2, size=[9, 2, 3, 1])
    flat = one.reshape(7, -1), other.reshape(9, -1)
    between, within, within_other = (scipy.spatial.distance.cdist(*pair).mean() for pair in (
        flat, (flat[0], flat[0]), (flat[1], flat[1])))
    assert float(energy_distance(one, other)) == pytest.approx(2 * between - within - within_other)
    assert float(energy_distance(one, one)) == pytest.approx(0, abs=1e-12)
