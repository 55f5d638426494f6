"""`get_total_loss` may be what Keras calls a loss: its value is Keras' own, with and without weights of the samples."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from expman.settings.keras_loss import KerasLoss, as_total_loss

PREDICTIONS = np.array([[0.2], [0.9], [0.4]], np.float32)
LABELS = np.array([[0.0], [1.0], [1.0]], np.float32)
WEIGHTS = np.array([1.0, 0.0, 2.0], np.float32)


def squared(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize(("loss", "function"), [
    ("mse", lambda labels, predictions: (labels - predictions) ** 2),
    (squared, lambda labels, predictions: (labels - predictions) ** 2),
    (keras.losses.Huber(delta=0.5), lambda labels, predictions: np.where(
        abs(labels - predictions) <= 0.5, (labels - predictions) ** 2 / 2, 0.5 * abs(labels - predictions) - 0.125)),
    ("binary_crossentropy", lambda labels, predictions: -np.where(labels == 1, np.log(predictions), np.log(1 - predictions)))])
def test_the_value_is_the_mean_over_the_samples_each_times_its_weight(loss, function):
    total_loss = as_total_loss(loss)
    each = function(LABELS, PREDICTIONS)[:, 0]
    assert float(total_loss(PREDICTIONS, LABELS)) == pytest.approx(each.mean(), rel=1e-5)
    assert float(total_loss(PREDICTIONS, LABELS, WEIGHTS)) == pytest.approx((each * WEIGHTS).mean(), rel=1e-5)


def test_a_function_of_predictions_and_labels_stays_as_it_is():
    def own(predictions, labels):
        return 0.0

    assert as_total_loss(own) is own
    assert as_total_loss(3) == 3
    assert as_total_loss(keras.losses.MeanSquaredError) is keras.losses.MeanSquaredError  # a class is a mistake, told elsewhere


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ValueError, match="Keras has no loss 'mean_squared_eror'. Did you mean 'mean_squared_error'?"):
        KerasLoss("mean_squared_eror")(PREDICTIONS, LABELS)
