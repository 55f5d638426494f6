"""sMAPE and MASE against NumPy, with zeros, seasons and constant histories."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from model_zoo.losses.forecasting import mean_absolute_scaled_error, symmetric_mean_absolute_percentage_error


def series(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(3, 2, shape)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 4), (6,)])
def test_smape_equals_numpy(shape):
    labels, forecast = series(*shape), series(*shape)[::-1]
    expected = np.mean(200 * np.abs(labels - forecast) / (np.abs(labels) + np.abs(forecast)), axis=-1)
    np.testing.assert_allclose(symmetric_mean_absolute_percentage_error(labels, forecast), expected)


def test_smape_of_two_zeros_is_0_and_of_opposite_signs_200():
    np.testing.assert_allclose(symmetric_mean_absolute_percentage_error(
        np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 2.0]]), np.array([[0.0, 0.0], [-1.0, -3.0], [0.0, -2.0]])), [0, 200, 100])


def test_smape_has_a_finite_gradient_at_zero():
    forecast = tf.constant([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(forecast)
        error = symmetric_mean_absolute_percentage_error(tf.constant([[0.0, 2.0]]), forecast)
    assert np.isfinite(tape.gradient(error, forecast)).all()


@pytest.mark.parametrize("period", [1, 4])
def test_mase_equals_numpy(period):
    labels, forecast, history = series(5, 7), series(5, 7)[::-1], series(5, 24)
    scale = np.array([np.mean([abs(row[t] - row[t - period]) for t in range(period, 24)]) for row in history])
    expected = np.mean(np.abs(labels - forecast), axis=-1) / scale
    np.testing.assert_allclose(mean_absolute_scaled_error(labels, forecast, history=history, period=period), expected)


def test_mase_does_not_depend_on_the_unit():
    labels, forecast, history = series(2, 3), series(3, 2).T, series(2, 9)
    np.testing.assert_allclose(*(mean_absolute_scaled_error(unit * labels, unit * forecast, history=unit * history)
                                 for unit in (1.0, 1000.0)))


def test_mase_of_a_constant_history_is_finite():
    error = mean_absolute_scaled_error(np.ones([1, 2]), np.zeros([1, 2]), history=np.ones([1, 5]))
    assert np.isfinite(error).all() and float(error[0]) > 1e6


@pytest.mark.parametrize(("labels", "history", "period", "message"), [
    ([2, 3, 1], [2, 9], 1, r"labels and forecast must have the same shape. Got \(2, 3, 1\) and \(2, 3\)"),
    ([2, 3], [2, 4], 4, "history must be longer than period = 4. Got 4 steps"),
    ([2, 3], [2, 9], 0, "period must be an int above 0. Got 0"),
    ([2, 3], [2, 9], 1.0, "period must be an int above 0. Got 1.0")])
def test_bad_arguments_are_refused(labels, history, period, message):
    with pytest.raises(ValueError, match=message):
        mean_absolute_scaled_error(np.ones(labels), np.ones([2, 3]), history=np.ones(history), period=period)
