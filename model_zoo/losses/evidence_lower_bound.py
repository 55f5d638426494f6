"""The two parts of the evidence lower bound of a variational autoencoder; their sum is its loss.

Source: Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 10 and appendices B and C.1.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def divergence_from_standard_normal(mean: Any, log_variance: Any) -> tf.Tensor:
    """Kullback-Leibler divergence KL(N(mean, variance) ‖ N(0, 1)), summed over the latent axes, which are independent.

    Arguments:
        mean: `[batch, latent]`.
        log_variance: `[batch, latent]`, the natural logarithm of the variance.

    Returns:
        float32 `[batch]`, in nats, at least 0.
    """
    mean, log_variance = tf.cast(mean, tf.float32), tf.cast(log_variance, tf.float32)
    return 0.5 * tf.reduce_sum(tf.square(mean) + tf.math.expm1(log_variance) - log_variance, axis=-1)


def bernoulli_negative_log_likelihood(images: Any, logits: Any) -> tf.Tensor:
    """Computes the negative log-likelihood of images when each value is an independent coin with probability sigmoid(logit).

    Arguments:
        images: `[batch, …]` in 0 … 1; values between are taken for the fraction of ones.
        logits: of the shape of the images.

    Returns:
        float32 `[batch]`, in nats, summed over the image.

    Raises:
        ValueError: the shapes differ.
    """
    images, logits = tf.cast(images, tf.float32), tf.cast(logits, tf.float32)
    if not images.shape.is_compatible_with(logits.shape):
        raise ValueError(f"images and logits must have one shape. Got {images.shape} and {logits.shape}.")
    values = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
    return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=-1)
