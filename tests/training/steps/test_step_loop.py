"""Several steps in the graph: as one after the other, in any number, to the end of the data."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman.training.steps.step_loop import step_loop
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics, untimed


def numbers(count: int) -> tf.data.Dataset:
    return tf.data.Dataset.range(1, count + 1).map(lambda number: tf.cast(number, tf.float64))


def remembering(memory: tf.Variable):
    """A step whose result depends on all steps before it and their order, and that takes its time before it assigns."""
    @tf.function(autograph=False)
    def step(number):
        before = memory.read_value()
        slow = tf.reduce_sum(tf.linalg.matmul(tf.ones([200, 200]), tf.ones([200, 200]))) * 0
        memory.assign(before * 0.5 + number + tf.cast(slow, tf.float64))
        return {"loss": tf.cast(number, tf.float32), "other": tf.constant("not asked for")}

    return step


@pytest.mark.parametrize("most_steps", [1, 3, 7, 100])
def test_steps_follow_one_another_until_the_data_end(most_steps):
    memory = tf.Variable(0.0, dtype=tf.float64)
    run = step_loop(remembering(memory), most_steps=lambda: most_steps, first_logs={"loss": 0.0})
    iterator = iter(numbers(20))
    last = []
    with pytest.raises(StopIteration):
        while True:
            last.append(float(run(iterator)["loss"]))
    expected = 0.0
    for number in range(1, 21):
        expected = expected * 0.5 + number
    assert memory.numpy() == expected
    assert last == [min(done + most_steps, 20) for done in range(0, 20, most_steps)]


def test_an_execution_takes_no_batch_that_it_does_not_use():
    run = step_loop(remembering(tf.Variable(0.0, dtype=tf.float64)), most_steps=lambda: 4, first_logs={"loss": 0.0})
    iterator = iter(numbers(10))
    run(iterator)
    assert next(iterator).numpy() == 5


def test_another_number_of_steps_needs_no_other_graph():
    traced, most_steps = [], [2]

    @tf.function(autograph=False)
    def step(number):
        traced.append(number)
        return {"loss": tf.cast(number, tf.float32)}

    run = step_loop(step, most_steps=lambda: most_steps[0], first_logs={"loss": 0.0})
    iterator = iter(numbers(10))
    assert float(run(iterator)["loss"]) == 2
    most_steps[0] = 5
    assert float(run(iterator)["loss"]) == 7
    assert len(traced) == 1


def test_the_result_is_made_after_the_last_step():
    memory = tf.Variable(0.0, dtype=tf.float64)
    run = step_loop(remembering(memory), most_steps=lambda: 3, result=lambda: {"memory": memory.read_value()})
    assert float(run(iter(numbers(3)))["memory"]) == (1 * 0.5 + 2) * 0.5 + 3


def test_an_error_in_a_step_comes_out_and_keeps_the_steps_before_it():
    memory = tf.Variable(0.0, dtype=tf.float64)

    @tf.function(autograph=False)
    def step(number):
        with tf.control_dependencies([tf.debugging.assert_less(number, tf.constant(4, tf.float64))]):
            memory.assign_add(number)
        return {"loss": tf.cast(number, tf.float32)}

    run = step_loop(step, most_steps=lambda: 10, first_logs={"loss": 0.0})
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(iter(numbers(10)))
    assert memory.numpy() == 1 + 2 + 3


def test_how_many_steps_run_at_once_changes_no_bit_of_a_training(tmp_path):
    dropout = '''
import keras


def model(data, n_outputs, hparams):
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(hparams["hiddenNeurons"], activation="tanh")(data))
    return {"prediction": keras.layers.Dense(n_outputs)(keras.layers.Dropout(0.3)(hidden))}
'''
    rows = []
    for number in ("1", "4", "None"):
        (tmp_path / number).mkdir()
        file = write_experiment(tmp_path / number, ("steps_per_execution = 1", f"steps_per_execution = {number}"),
                                model=dropout)
        rows.append(untimed(read_metrics(experiments_manager.run(file)["sessionFolder"])))
    assert rows[0] == rows[1] == rows[2]
    assert np.isfinite(float(rows[0][-1]["val_loss"]))
