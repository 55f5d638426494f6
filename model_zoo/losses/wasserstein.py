"""The losses of a Wasserstein GAN with gradient penalty, and a distance between real and generated samples."""

from __future__ import annotations

import tensorflow as tf

_SMALLEST_SQUARE = 1e-12  # the gradient of a root is infinite at 0


def critic_loss(image_score: tf.Tensor, generated_score: tf.Tensor) -> tf.Tensor:
    """Computes the critic's loss without its penalty: the negative estimate of the Wasserstein distance, a scalar.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, equation 3.

    Arguments:
        image_score, generated_score: the critic's scores of real and of generated images, `[batch]`.
    """
    return tf.reduce_mean(generated_score) - tf.reduce_mean(image_score)


def gradient_penalty(gradients: tf.Tensor) -> tf.Tensor:
    """The mean square by which the norms of gradients differ from 1, a scalar.

    Source: as of `critic_loss`.

    Arguments:
        gradients: of the critic's score of each interpolated image by the image itself, `[batch, height, width, channels]`.
    """
    squares = tf.reduce_sum(tf.square(gradients), axis=list(range(1, gradients.shape.rank)))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + _SMALLEST_SQUARE) - 1))


def energy_distance(samples: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The squared energy distance of two sets of samples: 2 E|x − y| − E|x − x'| − E|y − y'|, a scalar of at least 0.

    It is 0 for equal sets, and in expectation the smaller the more alike the distributions are; it needs no critic, so that
    values of several trainings can be compared. With equal distributions it is about (E|x − x'|) · (1/n + 1/m).

    Source: Székely, Rizzo, "Energy statistics: A class of statistics based on distances", 2013.

    Arguments:
        samples: float `[n, …]`.
        others: float `[m, …]`, of the same shape but for the first axis.
    """
    first, second = (tf.reshape(part, [tf.shape(part)[0], -1]) for part in (samples, others))
    return 2 * _mean_distance(first, second) - _mean_distance(first, first) - _mean_distance(second, second)


def _mean_distance(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.norm(first[:, tf.newaxis] - second[tf.newaxis], axis=-1))
