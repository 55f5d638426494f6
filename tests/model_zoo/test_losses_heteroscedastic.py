"""The Gaussian negative log-likelihood against scipy, its gradient, and the shapes that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from model_zoo.losses.heteroscedastic import gaussian_negative_log_likelihood


@pytest.mark.parametrize("shape", [(6, 3), (2, 5, 1), (4,)])
def test_it_equals_scipy(shape):
    generator = np.random.default_rng(0)
    labels, mean, log_variance = (generator.normal(size=shape) for _ in range(3))
    expected = -stats.norm.logpdf(labels, mean, np.exp(log_variance / 2)).sum(axis=-1)
    np.testing.assert_allclose(gaussian_negative_log_likelihood(labels, mean, log_variance), expected)


def test_one_variance_for_all_outputs_equals_scipy():
    generator = np.random.default_rng(0)
    labels, mean, log_variance = (generator.normal(size=shape).astype(np.float32) for shape in ([6, 3], [6, 3], [6, 1]))
    expected = -stats.norm.logpdf(labels, mean, np.exp(log_variance / 2)).sum(axis=-1)
    np.testing.assert_allclose(gaussian_negative_log_likelihood(labels, mean, log_variance), expected, rtol=1e-5)


def test_it_is_lowest_at_the_moments_of_the_data():
    labels = np.random.default_rng(0).normal(2.0, 0.5, [1000, 1])
    mean, log_variance = tf.constant(labels.mean()), tf.constant(np.log(labels.var()))
    with tf.GradientTape() as tape:
        tape.watch([mean, log_variance])
        loss = tf.reduce_mean(gaussian_negative_log_likelihood(
            labels, tf.fill([1000, 1], mean), tf.fill([1000, 1], log_variance)))
    np.testing.assert_allclose(tape.gradient(loss, [mean, log_variance]), [0, 0], atol=1e-9)


def test_labels_of_another_type_and_rows_of_integers_are_accepted():
    loss = gaussian_negative_log_likelihood(np.array([[1], [2]]), tf.zeros([2, 1]), tf.zeros([2, 1]))
    np.testing.assert_allclose(loss, -stats.norm.logpdf([1, 2]), rtol=1e-6)


@pytest.mark.parametrize(("labels", "mean", "log_variance", "message"), [
    ([4], [4, 1], [4, 1], r"labels and mean must have the same shape. Got \(4,\) and \(4, 1\)"),
    ([4, 2], [4, 1], [4, 1], "labels and mean"), ([4, 3], [4, 3], [4, 2], "log_variance and mean")])
def test_shapes_that_would_broadcast_are_refused(labels, mean, log_variance, message):
    with pytest.raises(ValueError, match=message):
        gaussian_negative_log_likelihood(np.zeros(labels), np.zeros(mean), np.zeros(log_variance))


def test_a_batch_of_unknown_size_is_accepted():
    @tf.function(input_signature=[tf.TensorSpec([None, 1])] * 3)
    def loss(labels, mean, log_variance):
        return gaussian_negative_log_likelihood(labels, mean, log_variance)

    assert loss(tf.zeros([3, 1]), tf.zeros([3, 1]), tf.zeros([3, 1])).shape == (3,)
