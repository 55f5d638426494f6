"""A `train_step` of the user's own and several optimizers: the updates of a plain loop, exact restart, curves, and told mistakes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import experiments_manager
from expman.errors import TrainingError, UserCodeError
from expman.settings.loading import load_settings
from expman.training.distribution.replicas import check_replicas
from expman.training.estimator import Estimator
from expman.training.steps.weights_averaging import averages
from tests.support.settings_files import write_experiment
from tests.support.training_runs import SLOW, killed_within_an_epoch_and_restarted, read_metrics, start, untimed

# Two parts that the user trains apart: `level` is a state of the step, as that of BEGAN is.
MODEL = '''\
import keras


class Level(keras.layers.Layer):
    def build(self, input_shape):
        self.level = self.add_weight(shape=(), initializer="zeros", trainable=False, name="level")

    def call(self, inputs):
        return inputs


def model(data, n_outputs, hparams):
    code = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh")], name="body")(data)
    code = keras.layers.Dropout(0.2, seed=1)(Level(name="state")(code))
    return {"code": code, "prediction": keras.layers.Dense(n_outputs, name="head")(code)}
'''
OPTIMIZERS = '''{"body": keras.optimizers.SGD(0.1), "head": keras.optimizers.Adam(learning_rate)}'''
STEP = '''

def train_step(model, data, optimizers):
    inputs, labels = data
    parts = {name: model.get_layer(name).trainable_variables for name in optimizers}
    for name in ("head", "head", "body"):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(inputs, training=True)["prediction"] - labels))
        gradients = tape.gradient(loss, parts[name])
        optimizers[name].apply_gradients(zip(gradients, parts[name]))
    level = model.get_layer("state").level
    level.assign(0.9 * level + 0.1 * loss)
    return {"loss": loss, "level": level}
'''
GET_OPTIMIZER = "return keras.optimizers.Adam(learning_rate)"


def write(folder: Path, *replacements: tuple[str, str], optimizers: str = OPTIMIZERS, step: str = STEP, model: str = MODEL) -> Path:
    return write_experiment(folder, (GET_OPTIMIZER, f"return {optimizers}"), *replacements, added=step, model=model)


def built(folder: Path, *replacements: tuple[str, str], **parts: str) -> Estimator:
    return Estimator(settings=load_settings(write(folder, *replacements, **parts)))


def curves(folder: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {tag: [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]
            if events.Tensors(tag)[0].tensor_proto.dtype in (1, 2) and not events.Tensors(tag)[0].tensor_proto.tensor_shape.dim}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a training without interruption."""
    file = write(tmp_path_factory.mktemp("train_step"), ("nbEpoch = 2", "nbEpoch = 4\ncheckpoint_every_seconds = 0.01"), SLOW)
    return Path(experiments_manager.run(file)["sessionFolder"])


def test_the_weights_and_averages_are_those_of_a_plain_loop(tmp_path):
    estimator = built(tmp_path, model=MODEL.replace("0.2, seed=1", "0.0"))
    model = estimator.model
    network = keras.models.clone_model(model.network)
    network.set_weights(model.network.get_weights())
    optimizers = {"body": keras.optimizers.SGD(0.1), "head": keras.optimizers.Adam(0.05)}
    moving = [weight.numpy().astype(np.float64) for weight in network.trainable_variables]
    batches = list(estimator.train_data.dataset)
    for step, (features, labels) in enumerate(batches, start=1):
        model.step_in_graph((features, labels))
        for name in ("head", "head", "body"):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(network(0.5 * features, training=True)["prediction"] - labels))
            weights = network.get_layer(name).trainable_variables
            optimizers[name].apply_gradients(zip(tape.gradient(loss, weights), weights))
        decay = min(0.9, (1 + step) / (60 + step))
        moving = [decay * old + (1 - decay) * weight.numpy() for old, weight in zip(moving, network.trainable_variables)]
    for one, other in zip(model.network.trainable_variables, network.trainable_variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    for one, other in zip(averages(model.optimizer), moving, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-6)
    members = model.optimizer.members
    assert [int(model.optimizer.iterations), int(members["head"].iterations), int(members["body"].iterations)] == [6, 12, 6]


def test_a_dict_without_train_step_trains_each_part_at_its_own_rate(tmp_path):
    estimator = built(tmp_path, step="", model=MODEL.replace("0.2, seed=1", "0.0"),
                      optimizers='{"head": keras.optimizers.SGD(0.01), "body": keras.optimizers.SGD(0.2)}')
    network = estimator.model.network
    before = {weight.path: weight.numpy() for weight in network.trainable_variables}
    batch = estimator.train_data.first_batch
    gradients = estimator.model.gradients(batch)
    estimator.model.step_in_graph(batch)
    for weight, gradient in zip(network.trainable_variables, gradients, strict=True):
        rate = 0.2 if any(weight is own for own in network.get_layer("body").trainable_variables) else 0.01
        np.testing.assert_allclose(weight.numpy(), before[weight.path] - rate * gradient.numpy(), rtol=1e-5, atol=1e-6)
    estimator.model.optimizer.learning_rate = 0.005
    assert [float(each.learning_rate) for each in estimator.model.optimizer.members.values()] == pytest.approx([0.005, 0.1])


def test_a_single_optimizer_has_all_weights_and_schedules_follow_the_steps_of_the_training(tmp_path):
    step = STEP.replace('parts = {name: model.get_layer(name).trainable_variables for name in optimizers}',
                        'parts = {"optimizer": model.trainable_variables}').replace('("head", "head", "body")', '["optimizer"] * 3')
    estimator = built(tmp_path, ("served_head", "num_epochs_per_decay = 0.5\nlearning_rate_decay_factor = 0.1\nserved_head"),
                      step=step, optimizers="keras.optimizers.SGD(learning_rate)")
    for batch in estimator.train_data.dataset.take(4):
        estimator.model.step_in_graph(batch)
    member = estimator.model.optimizer.members["optimizer"]
    assert int(member.iterations) == 12
    assert float(member.learning_rate) == pytest.approx(0.05 * 0.1 ** (4 // 3))  # a stair of three steps


@pytest.mark.slow
def test_killed_and_restarted_it_ends_to_the_bit_as_without(tmp_path, trained):
    experiments = tmp_path / "experiments"
    copy = write(tmp_path, ("nbEpoch = 2", "nbEpoch = 4\ncheckpoint_every_seconds = 0.01"), SLOW)
    restarted, _ = killed_within_an_epoch_and_restarted(experiments, start(copy))
    assert untimed(read_metrics(restarted)) == untimed(read_metrics(trained))
    newest = [sorted((each / "checkpoints").iterdir())[-1] / "variables" for each in (restarted, trained)]
    one, other = (tf.train.load_checkpoint(str(each)) for each in newest)
    names = [name for name in one.get_variable_to_shape_map() if not name.startswith("_")]
    assert len(names) > 15
    for name in names:
        np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), err_msg=name)


def test_its_scalars_become_columns_and_curves_and_no_norm_is_invented(trained):
    rows = read_metrics(trained)
    drawn = curves(trained / "logs" / "train")
    assert {"loss", "level", "learning_rate", "steps_per_second"} <= drawn.keys() and "gradient_norm" not in drawn
    # nb_summary_per_train_epoch = 10 of 6 steps: a point a step, of 5 batches of 16 samples and one of 10.
    for name in ("loss", "level"):
        points = np.reshape(drawn[name], [4, 6])
        np.testing.assert_allclose([float(row[name]) for row in rows], points @ [16, 16, 16, 16, 16, 10] / 90, rtol=1e-6)


def test_the_export_answers_with_the_averages(trained):
    version = sorted((trained / "export" / "line").iterdir())[-1]
    best = min(float(row["val_loss"]) for row in read_metrics(trained))
    x = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32)
    served = tf.saved_model.load(str(version)).signatures["prediction"](x=tf.constant(x))["prediction"].numpy()
    assert np.mean(np.square(served[:, 0] - 2 * x.sum(axis=1) - 1)) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(("changes", "message"), [
    ({"optimizers": '{"body": keras.optimizers.SGD(0.1), "haed": keras.optimizers.SGD(0.1)}'},
     "'haed' name no layer.*Those that have: 'body', 'head'"),
    ({"optimizers": '{"body": keras.optimizers.SGD(0.1)}'}, "each trainable weight must.*head/kernel is in none.*trainable = False"),
    ({"optimizers": '{"body": keras.optimizers.SGD(0.1), "head": "adam"}'}, "'head' of getOptimizer must be a Keras optimizer"),
    ({"optimizers": '{"body": keras.optimizers.SGD(0.1), "head": keras.optimizers.SGD(0.0)}'}, "learning rate of 'head'.*is 0"),
    ({"step": STEP.replace('"loss": loss, ', "")}, r"mysettings.py:\d+: train_step must return a dict.*Got a dict of 'level'"),
    ({"step": STEP.replace('{"loss": loss, "level": level}', "loss")}, r"train_step must return a dict.*Got \w*Tensor"),
    ({"step": STEP.replace('"level": level}', '"level": labels}')}, r"'level' of train_step must be a scalar.*\(None, 1\)"),
    ({"step": STEP.replace('"level": level}', '"val_level": level}')}, "must not return the name 'val_level'"),
    ({"step": STEP.replace('"level": level}', '"level": None}')}, "'level' of train_step must be a scalar.*Got NoneType"),
    ({"step": STEP.replace("    level.assign", "    raise RuntimeError('no level')\n    level.assign")},
     r"(?s)mysettings.py:\d+: train_step raised an exception.*no level.*features float32\(None, 3\)"),
    ({"step": STEP.replace("zip(gradients, parts[name])", "zip(gradients, parts['body'])")}, "(?s)train_step raised.*Unknown variable"),
])
def test_mistakes_are_told_before_training(tmp_path, changes, message):
    with pytest.raises(UserCodeError, match=f"(?s){message}"):
        built(tmp_path, **changes)


def test_a_part_that_the_loss_does_not_know_is_told_without_train_step(tmp_path):
    with pytest.raises(UserCodeError, match="depends on none of the weights of 'body'"):
        built(tmp_path, ("tf.square(predictions - labels)", "tf.square(tf.stop_gradient(predictions) - labels)"
                         " + tf.reduce_sum(weights_loss)"), ("(predictions, labels):\n    return tf.reduce_mean(tf.sq",
                                                             "(predictions, labels, weights_loss):\n    return tf.reduce_mean(tf.sq"),
              step="", model=MODEL.replace('name="head"', 'name="head", kernel_regularizer="l2"'))


def test_loss_scaling_and_several_devices_are_refused(tmp_path):
    with pytest.raises(UserCodeError, match="'head' of getOptimizer would have to scale the loss"):
        built(tmp_path, optimizers=OPTIMIZERS.replace("keras.optimizers.Adam(learning_rate)",
                                                      "keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())"))
    with pytest.raises(TrainingError, match=r"mysettings.py:\d+: train_step does not go with 2 devices"):
        check_replicas(load_settings(write(tmp_path)), num_replicas=2)


@pytest.mark.parametrize(("old", "new", "told"), [
    ("gradients = tape.gradient(loss, parts[name])",
     "gradients = [g / tf.cast(optimizers['body'].iterations < 3, tf.float32) for g in tape.gradient(loss, parts[name])]",
     "a gradient that train_step gives to the optimizer 'head'"),
    ('"level": level}', '"level": 1.0 / tf.cast(optimizers["body"].iterations < 4, tf.float32)}', "'level' that train_step returns"),
])
def test_what_is_not_finite_ends_the_training_at_its_step(tmp_path, old, new, told):
    with pytest.raises(TrainingError, match=f"step 4, epoch 1: .*not finite: {told}. The batch: features.*The checkpoints are good"):
        experiments_manager.run(write(tmp_path, step=STEP.replace(old, new)))


@pytest.mark.slow
def test_the_loss_of_a_train_step_need_not_fall_but_each_part_must_change(tmp_path, capsys):
    rising = STEP.replace('"loss": loss', '"loss": tf.cast(optimizers["body"].iterations, tf.float32)')
    assert experiments_manager.main(["--usersettings", str(write(tmp_path, step=rising)), "--check"]) == 0
    assert "it need not fall, since train_step is your own" in capsys.readouterr().out
    lazy = STEP.replace('("head", "head", "body")', '("head",)')
    assert experiments_manager.main(["--usersettings", str(write(tmp_path, step=lazy)), "--check"]) == 1
    assert "train_step never changes a weight of 'body'" in capsys.readouterr().out
