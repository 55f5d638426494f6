"""How many steps run between two returns to Python."""

from __future__ import annotations

import pytest
import tensorflow as tf

from expman.training.steps.execution_length import forward_seconds, steps_per_execution


@pytest.mark.parametrize(("forward", "steps_per_epoch", "expected"), [
    (0.0004, 10_000, 250), (0.0, 10_000, 500), (0.0001, 40, 40), (0.002, 10_000, 25), (0.01, 10_000, 3), (0.5, 10_000, 1),
    (0.0004, None, 250)])
def test_an_execution_takes_about_a_tenth_of_a_second_and_at_most_an_epoch(forward, steps_per_epoch, expected):
    assert steps_per_execution(forward_seconds=forward, steps_per_epoch=steps_per_epoch) == expected


@pytest.mark.alone  # compares times
def test_the_forward_time_is_that_of_the_work_not_of_the_call():
    small = tf.function(lambda x: {"y": x + 1})
    large = tf.function(lambda x: {"y": tf.linalg.matmul(x, x)})
    x = tf.ones([1500, 1500])
    small(x), large(x)
    assert 0 <= forward_seconds(small, x) < forward_seconds(large, x)
