"""The losses for segmentation against their definitions in NumPy, and Keras' mean intersection over union with void."""

from __future__ import annotations

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import jaccard_score

from model_zoo.losses.dice import dice_loss
from model_zoo.losses.lovasz import lovasz_softmax_loss
from model_zoo.losses.tversky import tversky_loss

VOID = 255
CERTAIN = 40.0  # a logit so far above zeros that the softmax is 1 in float32
LOSSES = (lovasz_softmax_loss, tversky_loss, dice_loss)


def drawn(seed, shape=(2, 5, 7), num_classes=4, void_fraction=0.0):
    """Labels and logits of a random problem."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes, shape)
    labels[random.random(shape) < void_fraction] = VOID
    return labels, random.normal(scale=2.0, size=[*shape, num_classes]).astype(np.float32)


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def counted(labels, logits):
    """Labels `[pixels]` and probabilities `[pixels, classes]` of the pixels that are not void."""
    return labels[labels != VOID], softmax(logits)[labels != VOID]


def jaccard_loss_of_errors(is_class, is_wrong):
    """1 − intersection over union of a class when a set of pixels is wrong: the set over its union with the class."""
    return is_wrong.sum() / max((is_class | is_wrong).sum(), 1)


def lovasz_by_level_sets(labels, logits):
    """The Lovász extension as the integral of the set function over the level sets of the errors: nothing is sorted."""
    labels, probabilities = counted(labels, logits)
    losses = []
    for present in np.unique(labels):
        is_class = labels == present
        errors = np.where(is_class, 1 - probabilities[:, present], probabilities[:, present])
        levels = np.concatenate([[0.0], np.unique(errors)])
        losses.append(sum((high - low) * jaccard_loss_of_errors(is_class, errors >= high)
                          for low, high in itertools.pairwise(levels)))
    return np.mean(losses)


def tversky_by_counts(labels, logits, alpha, beta):
    labels, probabilities = counted(labels, logits)
    losses = []
    for present in np.unique(labels):
        inside, outside = probabilities[labels == present, present], probabilities[labels != present, present]
        losses.append(1 - inside.sum() / (inside.sum() + alpha * outside.sum() + beta * (1 - inside).sum()))
    return np.mean(losses)


@pytest.mark.parametrize("void_fraction", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 3, 4, 5), (3, 11)])
def test_lovasz_is_the_integral_over_the_level_sets(shape, void_fraction):
    labels, logits = drawn(0, shape=shape, void_fraction=void_fraction)
    loss = lovasz_softmax_loss(labels, logits, void_label=VOID)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, lovasz_by_level_sets(labels, logits), rtol=1e-5)


def test_lovasz_per_image_is_the_mean_of_the_images():
    labels, logits = drawn(1, shape=(3, 4, 6), void_fraction=0.2)
    expected = np.mean([lovasz_by_level_sets(labels[index], logits[index]) for index in range(3)])
    np.testing.assert_allclose(lovasz_softmax_loss(labels, logits, void_label=VOID, per_image=True), expected, rtol=1e-5)
    assert abs(expected - lovasz_by_level_sets(labels, logits)) > 1e-3  # not the batch as one image


def test_lovasz_of_certain_predictions_is_one_minus_the_intersection_over_union():
    labels, logits = drawn(2)
    predicted = logits.argmax(axis=-1)
    expected = 1 - jaccard_score(labels.ravel(), predicted.ravel(), average="macro", labels=np.unique(labels))
    loss = lovasz_softmax_loss(labels, CERTAIN * np.eye(4, dtype=np.float32)[predicted])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_lovasz_of_a_large_image_keeps_its_precision():
    """Neighbouring values of the set function differ by 1e-6 there; their differences in float32 would be mostly rounding."""
    labels, logits = drawn(3, shape=(1, 500, 1000), num_classes=2)
    with tf.GradientTape() as tape:
        variable = tf.Variable(logits)
        loss = lovasz_softmax_loss(labels, variable)
    gradient = tape.gradient(loss, variable).numpy()[0, ..., 0].ravel()

    flat, probabilities = labels.ravel(), softmax(logits).reshape(-1, 2)
    expected = np.zeros_like(gradient, dtype=np.float64)
    for one in (0, 1):
        is_class = flat == one
        errors = np.where(is_class, 1 - probabilities[:, one], probabilities[:, one])
        order = np.argsort(-errors)
        wrong_inside, wrong_outside = np.cumsum(is_class[order]), np.cumsum(~is_class[order])
        values = (wrong_inside + wrong_outside) / (is_class.sum() + wrong_outside)
        increments = np.empty_like(values)
        increments[order] = np.diff(values, prepend=0.0)
        slope = probabilities[:, 0] * probabilities[:, 1] * (1 if one == 0 else -1)
        expected += 0.5 * increments * np.where(is_class, -slope, slope)
    relative = np.abs(gradient - expected).sum() / np.abs(expected).sum()
    assert relative < 1e-3


@pytest.mark.parametrize("void_fraction", [0.0, 0.3])
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (1.0, 1.0), (0.0, 0.5)])
def test_tversky_is_the_ratio_of_soft_counts(alpha, beta, void_fraction):
    labels, logits = drawn(4, void_fraction=void_fraction)
    loss = tversky_loss(labels, logits, alpha=alpha, beta=beta, void_label=VOID)
    np.testing.assert_allclose(loss, tversky_by_counts(labels, logits, alpha, beta), rtol=1e-5)


def test_tversky_with_unit_weights_and_certain_predictions_is_one_minus_the_intersection_over_union():
    labels, logits = drawn(5)
    predicted = logits.argmax(axis=-1)
    expected = 1 - jaccard_score(labels.ravel(), predicted.ravel(), average="macro", labels=np.unique(labels))
    np.testing.assert_allclose(tversky_loss(labels, CERTAIN * np.eye(4, dtype=np.float32)[predicted], alpha=1, beta=1),
                               expected, rtol=1e-5)


def test_tversky_and_dice_agree_with_keras_where_keras_has_them():
    """Keras' `alpha` weighs what its docstring says of `beta`, and the reverse."""
    labels, logits = drawn(6)
    truth, probabilities = tf.one_hot(labels, 4), tf.nn.softmax(logits)
    axes = (0, 1, 2)
    for alpha, beta in ((0.3, 0.7), (0.9, 0.2)):
        expected = tf.reduce_mean(keras.losses.tversky(truth, probabilities, alpha=beta, beta=alpha, axis=axes))
        np.testing.assert_allclose(tversky_loss(labels, logits, alpha=alpha, beta=beta), expected, rtol=1e-4)
    np.testing.assert_allclose(dice_loss(labels, logits),
                               tf.reduce_mean(keras.losses.dice(truth, probabilities, axis=axes)), rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_class_that_is_absent_does_not_count(loss):
    labels, logits = drawn(7, num_classes=3)
    with_more = np.concatenate([logits, np.full([*labels.shape, 2], -CERTAIN, np.float32)], axis=-1)
    np.testing.assert_allclose(loss(labels, with_more), loss(labels, logits), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_void_pixels_get_no_gradient_and_only_void_gives_zero(loss):
    labels, logits = drawn(8, void_fraction=0.4)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(labels, variable, void_label=VOID)
    gradient = tape.gradient(value, variable).numpy()
    assert not gradient[labels == VOID].any()
    assert np.abs(gradient[labels != VOID]).min() > 0
    np.testing.assert_array_equal(loss(np.full_like(labels, VOID), logits, void_label=VOID), 0.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_void_label_among_the_classes_is_left_out(loss):
    """Some label maps use class 0 for what nobody looked at."""
    labels, logits = drawn(9)
    moved = np.where(labels == 0, VOID, labels)
    np.testing.assert_allclose(loss(labels, logits, void_label=0), loss(moved, logits, void_label=VOID), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_is_zero_and_wrong_everywhere_is_one(loss):
    labels, _ = drawn(10)
    for predicted, expected in ((labels, 0.0), ((labels + 1) % 4, 1.0)):
        certain = CERTAIN * np.eye(4, dtype=np.float32)[predicted]
        np.testing.assert_allclose(loss(labels, certain), expected, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("compiled_by_xla", [False, True])
def test_descent_finds_the_labels_in_a_graph_with_deterministic_ops(loss, compiled_by_xla):
    tf.config.experimental.enable_op_determinism()
    labels, logits = drawn(11, num_classes=3, void_fraction=0.1)
    variable = tf.Variable(0.1 * logits)  # undecided: a softmax that is certain hardly has a gradient

    @tf.function(jit_compile=compiled_by_xla, autograph=False)
    def gradient(label_map):
        with tf.GradientTape() as tape:
            value = loss(label_map, variable, void_label=VOID)
        return tape.gradient(value, variable)

    for _ in range(100):
        variable.assign_sub(20.0 * gradient(tf.constant(labels, tf.uint8)))
    is_right = variable.numpy().argmax(axis=-1)[labels != VOID] == labels[labels != VOID]
    assert is_right.all()


@pytest.mark.parametrize("loss", LOSSES)
def test_sizes_may_be_unknown_when_the_graph_is_made(loss):
    labels, logits = drawn(12)
    signature = [tf.TensorSpec([None, None, None], tf.int64), tf.TensorSpec([None, None, None, 4], tf.float32)]
    np.testing.assert_allclose(tf.function(loss, input_signature=signature)(labels, logits), loss(labels, logits), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_arguments_are_named(loss):
    labels, logits = drawn(13)
    with pytest.raises(ValueError, match="labels must be integers.*Got float32"):
        loss(labels.astype(np.float32), logits)
    with pytest.raises(ValueError, match=r"Got \(2, 5, 7, 1\) and \(2, 5, 7, 4\).*tf.squeeze"):
        loss(labels[..., None], logits)
    labels[0, 0, 0] = VOID
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 3 or void_label=None.*least and largest"):
        loss(labels, logits)


def test_a_negative_weight_is_refused():
    labels, logits = drawn(14)
    with pytest.raises(ValueError, match="beta must be at least 0. Got -0.1"):
        tversky_loss(labels, logits, beta=-0.1)


def test_keras_mean_intersection_over_union_knows_void_labels_over_batches():
    """Why the zoo brings no such metric: this is how a settings file names Keras' own."""
    metric = functools.partial(keras.metrics.MeanIoU, num_classes=4, ignore_class=VOID)()
    batches = [drawn(seed, void_fraction=0.3) for seed in range(3)]
    for labels, logits in batches:
        metric.update_state(labels, tf.argmax(logits, axis=-1))
    labels = np.concatenate([labels for labels, _ in batches])
    predicted = np.concatenate([logits.argmax(axis=-1) for _, logits in batches])
    expected = jaccard_score(labels[labels != VOID], predicted[labels != VOID], average="macro")
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
