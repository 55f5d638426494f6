"""Names that Keras and TensorFlow do not promise: all are there; without each the public way gives the same numbers."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman.errors import TrainingError
from expman.export import served_experiment
from expman.internals import keras_internals, tensorflow_internals
from expman.internals.private_names import missing_names
from expman.settings.loading import load_settings
from expman.training.data.input_data import InputData
from expman.training.distribution.replicas import check_replicas
from expman.training.experiment_model import ExperimentModel
from expman.training.steps.op_determinism import set_determinism
from expman.training.steps.optimizer_group import OptimizerGroup
from tests.support.processes import run_python
from tests.support.settings_files import write_experiment


@pytest.fixture
def without(monkeypatch):
    def remove(internals, name):
        monkeypatch.setattr(internals, "MISSING", frozenset({name}))
    return remove


def test_all_names_are_there_in_the_versions_that_the_project_pins():
    assert not keras_internals.MISSING and not tensorflow_internals.MISSING


@pytest.mark.parametrize("check", [lambda: False, lambda: keras.no_such_name, lambda: __import__("keras.no_such_module")])
def test_a_name_that_is_gone_is_told_with_what_is_done_without_it(check, caplog):
    assert missing_names({"Model.x": (check, "training is slower."), "Model.y": (lambda: True, "")}, library="Keras 9") == {"Model.x"}
    assert "Keras 9 has no Model.x as this project knows it: training is slower." in caplog.text


SCHEDULES = [keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5, staircase=True),
             keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.5, 0.25]), 0.125]


@pytest.mark.parametrize("learning_rate", SCHEDULES, ids=["exponential", "piecewise", "constant"])
def test_a_schedule_is_read_from_the_configuration(learning_rate, without):
    optimizer = keras.optimizers.Adam(learning_rate)
    private = keras_internals.schedule_of(optimizer)
    without(keras_internals, keras_internals._SCHEDULE)
    public = keras_internals.schedule_of(optimizer)
    assert (private is None) == (public is None) == isinstance(learning_rate, float)
    if private is not None:
        assert [float(public(step)) for step in range(0, 40, 5)] == [float(private(step)) for step in range(0, 40, 5)]


def test_a_group_follows_a_schedule_that_was_read_from_the_configuration(without):
    def rates():
        weight = keras.Variable([1.0])
        group = OptimizerGroup({"a": keras.optimizers.SGD(SCHEDULES[1])}, parts={"a": [weight]})
        group.build([weight])
        seen = []
        for _ in range(8):
            seen.append(float(group.learning_rate))
            group.apply([tf.constant([1.0])])
        return [*seen, *weight.numpy()]

    private = rates()
    without(keras_internals, keras_internals._SCHEDULE)
    assert rates() == private and private[0] == 0.5 and private[7] == 0.25


ON_TWO_DEVICES = '''
import keras, json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from expman.internals import keras_internals
keras_internals.MISSING = frozenset(json.loads(sys.argv[1]))
strategy = tf.distribute.MirroredStrategy()
found = []
for limit in ({"global_clipnorm": 0.5}, {"clipnorm": 0.3}, {"clipvalue": 0.2}, {}):
    with strategy.scope():
        weights = [keras.Variable([1.0, -2.0]), keras.Variable([[3.0]])]
        optimizer = keras.optimizers.Adam(0.1, **limit)
        keras_internals.take_gradients_as_averaged(optimizer)
        optimizer.build(weights)
    @tf.function
    def step():
        strategy.run(lambda: optimizer.apply([weight * 2.0 for weight in weights], weights))
    for _ in range(5):
        step()
    found.append([weight.numpy().tolist() for weight in weights])
losses = [kind(reduction=reduction) for kind in (keras.losses.MeanSquaredError, keras.losses.Huber)
          for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "sum")]
def values():
    with keras_internals.keras_losses_as_means():
        return [loss(tf.constant([[1.0], [4.0], [2.0]]), tf.constant([[0.5], [1.0], [9.0]])) for loss in losses]
found.append([float(strategy.experimental_local_results(value)[0]) for value in strategy.run(values)])
with keras_internals.keras_losses_as_means():
    pass
found.append(float(keras.losses.MeanSquaredError()(tf.constant([[1.0]]), tf.constant([[3.0]]))))
print(json.dumps(found))
'''


@pytest.mark.slow
def test_on_two_devices_gradients_are_summed_and_losses_averaged_alike_without_the_names():
    outputs = [run_python("-c", ON_TWO_DEVICES, json.dumps(missing)) for missing in (
        [], [keras_internals._SUM], [keras_internals._SCALE])]
    assert all(output.returncode == 0 for output in outputs), outputs[0].stderr + outputs[1].stderr + outputs[2].stderr
    private, summed_twice, unscaled = (json.loads(output.stdout) for output in outputs)
    assert private[4][0] == pytest.approx((0.25 + 9 + 49) / 3) and private[5] == 4.0  # the means of one device
    for one, other in zip(private[:4], summed_twice[:4], strict=True):
        for weight, same in zip(one, other, strict=True):
            np.testing.assert_allclose(weight, same, rtol=1e-6)
    assert unscaled[4] == pytest.approx(private[4], rel=1e-6) and unscaled[5] == 4.0


def test_without_replicas_an_optimizer_is_the_same_without_the_name(without):
    def trained():
        weight = keras.Variable([1.0, -2.0])
        optimizer = keras.optimizers.Adam(0.1, global_clipnorm=0.5)
        keras_internals.take_gradients_as_averaged(optimizer)
        optimizer.build([weight])
        for _ in range(5):
            optimizer.apply([weight * 2.0], [weight])
        return weight.numpy()

    private = trained()
    without(keras_internals, keras_internals._SUM)
    np.testing.assert_array_equal(trained(), private)


def test_several_devices_are_refused_by_a_keras_that_might_read_a_batch_of_its_own(tmp_path, without):
    settings = load_settings(write_experiment(tmp_path, added="\nrandom_seed = 1\n"))
    check_replicas(settings, num_replicas=2)
    without(keras_internals, keras_internals._BUILD)
    check_replicas(settings, num_replicas=1)
    with pytest.raises(TrainingError, match="this Keras might read a batch before the training does: use one device"):
        check_replicas(settings, num_replicas=2)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "relu"])
def test_the_last_operation_is_found_among_those_of_the_network(activation, without):
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    outputs = {"a": keras.layers.Dense(2, activation=activation)(hidden), "b": keras.layers.Dense(1)(hidden)}
    network = keras.Model(inputs, outputs)
    private = keras_internals.operation_of(network.output["a"], network)
    without(keras_internals, keras_internals._HISTORY)
    assert keras_internals.operation_of(network.output["a"], network) is private
    assert private.activation is keras.activations.get(activation)


def test_determinism_is_found_out_by_trying(without):
    without(tensorflow_internals, tensorflow_internals._IS_ON)
    assert not tensorflow_internals.is_deterministic()
    set_determinism(True)
    assert tensorflow_internals.is_deterministic()
    tf.random.set_seed(3)  # lets all random operations run
    assert tensorflow_internals.is_deterministic()
    set_determinism(False)
    assert not tensorflow_internals.is_deterministic()


def test_determinism_that_cannot_be_undone_is_an_error_with_a_way_out(without):
    set_determinism(True)
    without(tensorflow_internals, tensorflow_internals._SWITCH)
    with pytest.raises(TrainingError, match="this TensorFlow cannot undo it. Start a process of its own"):
        set_determinism(False)


def test_variables_made_while_a_graph_is_traced_are_the_same_by_the_public_way(without):
    def counts():
        made = []

        def step():
            if not made:
                with tensorflow_internals.outside_of_tracing(without_strategy=True):
                    made.append(tf.Variable(5))
            return made[0].assign_add(2)

        function = tf.function(step, autograph=False)
        return [int(function()) for _ in range(3)], made[0].numpy()

    private = counts()
    without(tensorflow_internals, tensorflow_internals._EAGER)
    assert counts() == private == ([7, 9, 11], 11)


def test_what_must_be_saved_along_is_known_by_its_public_kinds(without):
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), -1)
    values = [table, tf.Variable(1), tf.Module(), keras.layers.Dense(1), keras.Variable(1.0), 3, "text", np.zeros(2), keras, len]
    private = [tensorflow_internals.is_saved_along(value) for value in values]
    without(tensorflow_internals, tensorflow_internals._TRACKABLE)
    assert [tensorflow_internals.is_saved_along(value) for value in values] == private == [True] * 5 + [False] * 5
    assert served_experiment.is_saved_along is tensorflow_internals.is_saved_along


def test_kernels_that_cannot_be_registered_beforehand_are_left_to_the_trials(without):
    tensorflow_internals.register_kernels()
    without(tensorflow_internals, tensorflow_internals._KERNELS)
    tensorflow_internals.register_kernels()


PIPELINES = {"shuffled batches": "dataset.shuffle(90).batch(batch_size)",
             "random below a shuffle": "dataset.shuffle(90).batch(batch_size).shuffle(3)",
             "random below a repetition": "dataset.shuffle(90).repeat(2).batch(batch_size)", "in order": "dataset.batch(batch_size)"}


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_a_restart_finds_the_same_batches_when_the_stages_cannot_be_seen(tmp_path, pipeline, without):
    file = write_experiment(tmp_path, ("(dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)", pipeline),
                            added="\nrandom_seed = 4\n")
    settings = load_settings(file)

    def fourth_pass():
        data = InputData(settings, for_training=True)
        data.skip_passes(3)
        return [features.numpy() for features, _ in data.dataset]

    private = fourth_pass()
    without(tensorflow_internals, tensorflow_internals._INPUTS)
    for one, other in zip(fourth_pass(), private, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_is_built_gives_keras_no_batch_to_build_it_again(tmp_path):
    settings = load_settings(write_experiment(tmp_path))
    data = InputData(settings, for_training=True)
    model = ExperimentModel(settings=settings, features_spec=data.dataset.element_spec[0])
    assert model._maybe_symbolic_build(iterator=iter([])) is None
