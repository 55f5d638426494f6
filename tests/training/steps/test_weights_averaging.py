"""The averages of the weights warm up, so that a short training is not judged by its random start."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from expman.training.steps import weights_averaging


def _trained(num_steps, *, decay, accumulation=None):
    """An optimizer after some steps on one weight, with the weight after each step."""
    weight = keras.Variable(np.array([4.0, -2.0], np.float32))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.gradient_accumulation_steps = accumulation
    weights_averaging.keep_averages(optimizer, decay=decay)
    optimizer.build([weight])
    weights_averaging.start_averages_at_weights(optimizer, [weight])
    course = [weight.numpy()]
    for _ in range(num_steps):
        optimizer.apply([2 * weight.value], [weight])
        course.append(weight.numpy())
    return optimizer, course


@pytest.mark.parametrize(("num_steps", "decay", "accumulation"), [(1, 0.998, None), (30, 0.998, None), (30, 0.5, None), (12, 0.998, 3)])
def test_averages_follow_the_rule_computed_by_numpy(num_steps, decay, accumulation):
    optimizer, course = _trained(num_steps, decay=decay, accumulation=accumulation)
    expected = course[0].astype(np.float64)
    for step, weight in enumerate(course[1:], start=1):
        kept = min(decay, (1 + step) / (60 + step))
        expected = kept * expected + (1 - kept) * weight
    np.testing.assert_allclose(weights_averaging.averages(optimizer)[0].numpy(), expected, rtol=1e-5)


def test_a_training_too_short_for_its_decay_is_told_with_the_span_of_the_averages():
    notice = weights_averaging.notice_of_short_training(decay=0.998, num_steps=250)
    assert "0.8097" in notice and "about 5 of the last steps" in notice  # 251 / 310; 310 / 59
    first_full = weights_averaging.steps_to_full_decay(0.998)
    assert weights_averaging.decay_at_step(first_full - 1, 0.998) < 0.998 == weights_averaging.decay_at_step(first_full, 0.998)
    assert weights_averaging.notice_of_short_training(decay=0.998, num_steps=first_full) is None


def test_hardly_anything_of_the_start_is_left_after_few_steps():
    optimizer, course = _trained(12, decay=0.998)
    shares = np.prod([weights_averaging.decay_at_step(step, 0.998) for step in range(1, 13)])
    assert shares < 1e-4 < 0.97 < 0.998**12  # the last is what a constant decay leaves
    assert abs(weights_averaging.averages(optimizer)[0].numpy()[0]) < abs(course[0][0]) / 2


def test_averages_keep_the_constraint_of_their_weight():
    weight = keras.Variable(np.array([1.0, 1.0], np.float32))
    weight.constraint = keras.constraints.NonNeg()
    optimizer = keras.optimizers.SGD(1.0)
    weights_averaging.keep_averages(optimizer, decay=0.9)
    optimizer.build([weight])
    weights_averaging.start_averages_at_weights(optimizer, [weight])
    for _ in range(20):
        optimizer.apply([np.array([9.0, -0.5], np.float32)], [weight])
    average = weights_averaging.averages(optimizer)[0].numpy()
    assert weight.numpy()[0] == 0 and 0 <= average[0] < 1e-3 and average[1] > 1


def test_keras_own_averages_would_overwrite_the_weights_and_are_turned_off():
    weight = keras.Variable(np.array([1.0], np.float32))
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_overwrite_frequency=1)
    weights_averaging.keep_averages(optimizer, decay=0.9)
    optimizer.build([weight])
    weights_averaging.start_averages_at_weights(optimizer, [weight])
    optimizer.apply([np.array([0.5], np.float32)], [weight])
    optimizer.finalize_variable_values([weight])
    assert weight.numpy()[0] == 0.5 and weights_averaging.averages(optimizer)[0].numpy()[0] > 0.5
