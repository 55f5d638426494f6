"""Trains the model of a dry run for some steps, apart from the files and callbacks of a whole training."""

from __future__ import annotations

import keras
import tensorflow as tf

from expman.errors import CheckError
from expman.training.distribution.replica_batches import passes
from expman.training.experiment_model import ExperimentModel
from expman.training.finite_search import first_not_finite
from expman.training.op_errors import readable_message
from expman.training.steps.finite_check import is_not_finite
from expman.training.steps.optimizer_state import completed_steps


def fit_steps(model: ExperimentModel, batches: tf.data.Dataset, *, steps_per_execution: int, num_steps: int,
              callback: keras.callbacks.Callback) -> None:
    """Trains on the first batches of a dataset.

    Arguments:
        model: compiled.
        batches: of (features, labels).
        steps_per_execution: steps between two calls of the callback.
        num_steps: most steps to train; the callback may stop earlier by `model.stop_training`.
        callback: measures.

    Raises:
        CheckError: a step failed, or its loss or gradient is not finite.
    """
    steps_before = completed_steps(model.optimizer)
    model.steps_per_execution = steps_per_execution
    model.make_train_function(force=True)  # Keras would go on with the loop that it compiled for another number
    try:
        model.fit(passes(batches.take(num_steps), strategy=model.distribute_strategy), shuffle=False, verbose=0,
                  callbacks=[callback])
    except tf.errors.OpError as error:
        num_good = completed_steps(model.optimizer) - steps_before
        if not is_not_finite(error):
            raise CheckError(f"Step {num_good + 1} failed: {readable_message(error)}") from error
        found = first_not_finite(model, next(iter(batches.skip(num_good))), error=error)
        raise CheckError(f"In step {num_good + 1} the loss or its gradient is not finite. {found} Correct the data or the "
                         "loss, lower initial_learning_rate, or set gradient_clip_norm.") from error
