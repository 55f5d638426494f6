"""Training, evaluation and export of one experiment, against plain NumPy and plain Keras."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import experiments_manager
from expman.errors import TrainingError
from expman.records.experiment_folder import ExperimentFolder
from expman.settings.loading import load_settings
from expman.training.callbacks.evaluation import Evaluation
from expman.training.estimator import Estimator
from expman.training.progress import TrainingProgress
from expman.training.steps import weights_averaging
from expman.training.steps.optimizer import learning_rate_schedule
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics


def read_events(path: Path) -> EventAccumulator:
    """All events of a TensorBoard folder or file."""
    events = EventAccumulator(str(path), size_guidance={"tensors": 0})
    events.Reload()
    return events


def read_scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    """tag → (step, value) of each point."""
    events = read_events(path)
    return {tag: [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
            for tag in events.Tags()["tensors"] if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"}


def validation_data() -> tuple[np.ndarray, np.ndarray]:
    """The validation samples of the small experiment, drawn as its settings file draws them."""
    x = np.random.default_rng(1).normal(size=[90, 3]).astype(np.float32)
    return x, 2.0 * x.sum(axis=1, keepdims=True) + 1


def forward(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The small network in NumPy, float64: preprocessing, tanh layer, linear layer."""
    kernel, bias, out_kernel, out_bias = (weight.astype(np.float64) for weight in weights)
    return np.tanh((x * 0.5) @ kernel + bias) @ out_kernel + out_bias


def trained_estimator(folder: Path, *replacements: tuple[str, str], added: str = "") -> tuple[Estimator, ExperimentFolder]:
    estimator = Estimator(settings=load_settings(write_experiment(folder, *replacements, added=added)))
    experiment = ExperimentFolder.create(working_folder=folder, session_name="line", hparams={})
    estimator.train(experiment)
    return estimator, experiment


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    return trained_estimator(tmp_path_factory.mktemp("averaged"))


def weights_and_averages(estimator: Estimator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    weights = [weight.numpy() for weight in estimator.model.trainable_variables]
    averages = [average.numpy() for average in weights_averaging.averages(estimator.model.optimizer)]
    return weights, averages


def test_the_exported_model_answers_with_the_averaged_weights_and_not_with_the_raw_ones(averaged):
    estimator, experiment = averaged
    version = experiment.path / estimator.export(experiment)
    weights, averages = weights_and_averages(estimator)
    x, _ = validation_data()
    answer = tf.saved_model.load(str(version)).signatures["serving_default"](x=tf.constant(x))["prediction"].numpy()
    np.testing.assert_allclose(answer, forward(averages, x), rtol=1e-4, atol=1e-5)
    assert np.abs(answer - forward(weights, x)).max() > 1e-2


def test_an_evaluation_measures_the_averaged_weights_and_changes_nothing(averaged):
    estimator, _ = averaged
    before = weights_and_averages(estimator)
    measured = estimator.evaluate()
    x, y = validation_data()
    error = forward(before[1], x) - y
    np.testing.assert_allclose(measured["loss"], np.mean(error**2), rtol=1e-4)
    np.testing.assert_allclose(measured["mae"], np.mean(np.abs(error)), rtol=1e-4)
    np.testing.assert_allclose(measured["rmse"], np.sqrt(np.mean(error**2)), rtol=1e-4)
    for kept, present in zip(itertools.chain(*before), itertools.chain(*weights_and_averages(estimator))):
        np.testing.assert_array_equal(kept, present)


def test_the_averages_follow_their_formula(tmp_path):
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 1"))))
    seen, start = [], weights_and_averages(estimator)[0]

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(weights_and_averages(estimator))

    estimator.model.fit(estimator.train_data.dataset, callbacks=[Recorder()], verbose=0, shuffle=False)
    expected = start
    for step, (weights, averages) in enumerate(seen, start=1):
        kept = min(0.9, (1 + step) / (60 + step))
        expected = [kept * average + (1 - kept) * weight for average, weight in zip(expected, weights)]
        for one, other in zip(expected, averages):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert len(seen) == 6


def test_without_averaging_the_raw_weights_are_evaluated(tmp_path):
    estimator, _ = trained_estimator(tmp_path, added="\npredict_using_smoothed_parameters = False\n")
    weights = [weight.numpy() for weight in estimator.model.trainable_variables]
    x, _ = validation_data()
    np.testing.assert_allclose(estimator.predict(x)["prediction"], forward(weights, x), rtol=1e-4, atol=1e-5)


def test_training_equals_plain_keras_on_the_same_batches(tmp_path):
    estimator = Estimator(settings=load_settings(write_experiment(
        tmp_path, ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset"),
        added="\npredict_using_smoothed_parameters = False\n")))
    plain = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)])
    plain.build([None, 3])
    plain.set_weights([weight.numpy() for weight in estimator.model.trainable_variables])
    plain.compile(keras.optimizers.Adam(0.05), loss="mse")
    plain.fit(estimator.train_data.dataset.map(lambda x, y: (x * 0.5, y)), epochs=2, verbose=0, shuffle=False)
    estimator.train(ExperimentFolder.create(working_folder=tmp_path, session_name="a", hparams={}))
    for one, other in zip(plain.get_weights(), estimator.model.trainable_variables):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def test_the_learning_rate_falls_in_stairs():
    schedule = learning_rate_schedule(initial=0.1, epochs_per_decay=2, decay_factor=0.5, steps_per_epoch=3)
    rates = [float(schedule(step)) for step in range(13)]
    np.testing.assert_allclose(rates, [0.1 * 0.5 ** (step // 6) for step in range(13)], rtol=1e-6)


def test_metrics_csv_has_a_row_an_epoch(trained):
    rows = read_metrics(trained["sessionFolder"])
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["step"] for row in rows] == ["6", "12"]
    assert set(rows[0]) == {"epoch", "step", "seconds", "learning_rate", "loss", "val_loss", "val_mae", "val_rmse"}
    assert float(rows[-1]["val_loss"]) == pytest.approx(trained["loss"])


def test_run_returns_what_a_sweep_needs(trained):
    assert set(trained) == {"loss", "mae", "rmse", "status", "global_step", "sessionFolder", "last_exported_model"}
    assert trained["status"] == "ok" and trained["global_step"] == 12
    assert Path(trained["last_exported_model"]).parent.name == "line"
    assert all(type(trained[name]) is float for name in ("loss", "mae", "rmse"))


def test_the_folder_holds_what_the_design_promises(trained):
    folder = Path(trained["sessionFolder"])
    names = {entry.name for entry in folder.iterdir()}
    assert names == {"experiment_settings.py", "experiment_model.py", "experiment.json", "state.json", "metrics.csv",
                     "checkpoints", "embeddings", "export", "logs"}
    assert folder.name.startswith("line_hiddenNeurons8_learningRate0.05_slope2.0_addNoiseFalse_labela_20")
    identity = json.loads((folder / "experiment.json").read_text())
    assert identity["hparams"]["slope"] == {"value": 2.0, "origin": "settings file"}
    assert identity["packages"]["tensorflow"] == tf.__version__
    assert json.loads((folder / "state.json").read_text())["status"] == "finished"


def test_tensorboard_has_training_and_validation_on_one_axis(trained):
    curves = {run: read_scalars(Path(trained["sessionFolder"]) / "logs" / run) for run in ("train", "validation")}
    assert set(curves["train"]) == {"loss", "gradient_norm", "learning_rate", "steps_per_second"}
    assert set(curves["validation"]) == {"loss", "mae", "rmse"}
    assert [step for step, _ in curves["train"]["loss"]] == list(range(1, 13))
    assert [step for step, _ in curves["validation"]["loss"]] == [6, 12]
    assert curves["validation"]["loss"][-1][1] == pytest.approx(trained["loss"])


def test_tensorboard_has_a_histogram_of_each_weight_an_evaluation(trained):
    events = read_events(Path(trained["sessionFolder"]) / "logs" / "train")
    tags = [tag for tag in events.Tags()["tensors"] if events.SummaryMetadata(tag).plugin_data.plugin_name == "histograms"]
    assert len(tags) == 4 and all(tag.startswith("weights/") for tag in tags)
    assert [event.step for event in events.Tensors(tags[0])] == [6, 12]


def test_the_gradient_norm_is_that_of_the_loss(tmp_path):
    estimator, experiment = trained_estimator(
        tmp_path, ("nbEpoch = 2", "nbEpoch = 1"), ("dataset.shuffle(90) if shuffle_batches else dataset", "dataset"),
        ('initial_learning_rate = hparams["learningRate"]', "initial_learning_rate = 1e-30"))
    weights = [tf.Variable(weight) for weight in estimator.model.trainable_variables]
    expected = []
    for x, y in estimator.train_data.dataset:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.tanh((x * 0.5) @ weights[0] + weights[1]) @ weights[2] + weights[3] - y) ** 2)
        expected.append(np.sqrt(sum(np.sum(part.numpy() ** 2) for part in tape.gradient(loss, weights))))
    drawn = [value for _, value in read_scalars(experiment.train_logs)["gradient_norm"]]
    np.testing.assert_allclose(drawn, expected, rtol=1e-4)


def test_training_points_of_an_epoch_average_to_its_loss(trained):
    events = read_events(Path(trained["sessionFolder"]) / "logs" / "train")
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("loss")]
    batch_sizes = [16] * 5 + [10]
    assert np.average(losses[:6], weights=batch_sizes) == pytest.approx(
        float(read_metrics(trained["sessionFolder"])[0]["loss"]), rel=1e-5)


def test_early_stopping_ends_a_training_that_does_not_improve(tmp_path):
    _estimator, experiment = trained_estimator(
        tmp_path, ("nbEpoch = 2", "nbEpoch = 30\nearly_stopping_patience = 2"),
        ('initial_learning_rate = hparams["learningRate"]', "initial_learning_rate = 1e-30"))
    state = experiment.read_state()
    assert state["status"] == "finished" and state["epoch"] == 3 and state["best_epoch"] == 1
    assert state["stop_reason"] == "no improvement for 2 epochs"


def test_best_is_the_greatest_value_in_mode_max(tmp_path):
    _, experiment = trained_estimator(tmp_path, ("nbEpoch = 2", "nbEpoch = 4"),
                                      added="\nearlystopping_metric, earlystopping_mode = 'mae', 'max'\n")
    values = [float(row["val_mae"]) for row in read_metrics(experiment.path)]
    assert experiment.read_state()["best_value"] == max(values)
    assert experiment.read_state()["best_epoch"] == values.index(max(values)) + 1


def test_an_unknown_early_stopping_metric_lists_the_known_ones(tmp_path):
    with pytest.raises(TrainingError, match="'mean' is none of the validation metrics: loss, mae, rmse"):
        trained_estimator(tmp_path, added="\nearlystopping_metric, earlystopping_mode = 'mean', 'max'\n")


def test_evaluations_keep_their_distance_and_the_last_epoch_has_one(tmp_path):
    _, experiment = trained_estimator(tmp_path, ("nbEpoch = 2", "nbEpoch = 4\neval_not_rerun_until_sec = 1000"))
    assert [bool(row["val_loss"]) for row in read_metrics(experiment.path)] == [True, False, False, True]


def test_nb_train_samples_sets_the_length_of_an_epoch(tmp_path):
    _, experiment = trained_estimator(tmp_path, ("nbEpoch = 2", "nbEpoch = 2\nnb_train_samples = 170"))
    assert [row["step"] for row in read_metrics(experiment.path)] == ["11", "22"]


def test_a_pipeline_may_be_given_as_a_function_or_as_a_pair(tmp_path):
    for number, returned in enumerate(("lambda: dataset", "(lambda: dataset, None)")):
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = load_settings(write_experiment(folder, (
            "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)",
            f"dataset = dataset.batch(batch_size)\n    return {returned}")))
        assert Estimator(settings=settings).train_data.steps_per_epoch == 6


MODE_MODEL = '''\
import keras


def model(data, n_outputs, hparams, mode):
    hidden = keras.layers.Dense(hparams["hiddenNeurons"], activation="tanh")(data)
    if mode == "train":
        hidden = keras.layers.GaussianNoise(0.1)(hidden)
    return {"prediction": keras.layers.Dense(n_outputs)(hidden)} | ({"doubled": hidden * 2} if mode == "infer" else {})
'''


def test_a_model_that_asks_for_the_mode_is_served_in_its_inference_form(tmp_path):
    estimator = Estimator(settings=load_settings(write_experiment(tmp_path, model=MODE_MODEL)))
    experiment = ExperimentFolder.create(working_folder=tmp_path, session_name="a", hparams={})
    estimator.train(experiment)
    _, averages = weights_and_averages(estimator)
    x, _ = validation_data()
    answer = estimator.predict(x)
    np.testing.assert_allclose(answer["prediction"], forward(averages, x), rtol=1e-4, atol=1e-5)
    assert answer["doubled"].shape == (90, 8)


def test_the_users_callbacks_see_the_validation_metrics(tmp_path):
    _, experiment = trained_estimator(tmp_path, added='''

class Recorder(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        with open("WORK/seen.txt", "a") as stream:
            stream.write(f"{epoch} {logs['val_mae']:.6f}\\n")


def addon_callbacks(model, train_samples, val_samples):
    assert train_samples[0].shape == val_samples[0].shape == (16, 3)
    return [Recorder()]
'''.replace("WORK", str(tmp_path)))
    rows = read_metrics(experiment.path)
    seen = (tmp_path / "seen.txt").read_text().splitlines()
    assert seen == [f"{number} {float(row['val_mae']):.6f}" for number, row in enumerate(rows)]


def test_a_metric_that_is_not_a_number_is_no_improvement():
    progress, values = TrainingProgress(), iter([float("nan"), 3.0, float("nan"), 2.0, 2.5])
    evaluation = Evaluation(evaluate=lambda: {"error": next(values)}, progress=progress, metric="error", mode="min",
                            num_epochs=5, least_seconds_between=0)
    improved = []
    for epoch in range(5):
        evaluation.on_epoch_end(epoch, {})
        improved.append(progress.improved)
    assert improved == [False, True, False, True, False]
    assert (progress.best_value, progress.best_epoch) == (2.0, 4)


def test_validation_summaries_are_drawn(tmp_path):
    _, experiment = trained_estimator(tmp_path, added='''

def get_validation_summaries(inputs, embedding_code):
    return {"pictures": tf.zeros([2, 4, 4, 1]), "largest": tf.reduce_max(inputs), "codes": embedding_code}
''')
    plugins = {}
    for file in experiment.validation_logs.glob("events*"):
        events = read_events(file)
        plugins |= {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in events.Tags()["tensors"]}
    assert (plugins["pictures"], plugins["largest"], plugins["codes"]) == ("images", "scalars", "histograms")


def test_the_same_seed_gives_the_same_training_twice(tmp_path, trained):
    again = experiments_manager.run(write_experiment(tmp_path))
    untimed = [[{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]
               for folder in (trained["sessionFolder"], again["sessionFolder"])]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize("optimizer", ["keras.optimizers.SGD(1.0)",
                                       "keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=2.0**10)"])
def test_gradients_are_clipped_and_accumulated_as_asked(tmp_path, optimizer):
    settings = load_settings(write_experiment(
        tmp_path, ("nbEpoch = 2", "nbEpoch = 1\ngradient_clip_norm = 0.01\ngradient_accumulation_steps = 3"),
        ("keras.optimizers.Adam(learning_rate)", optimizer),
        added="\npredict_using_smoothed_parameters = False\n"))
    estimator = Estimator(settings=settings)
    before = [weight.numpy() for weight in estimator.model.trainable_variables]
    batches = list(estimator.train_data.dataset.take(3))
    gradients = []
    for x, y in batches:
        with tf.GradientTape() as tape:
            hidden = tf.tanh((x * 0.5) @ tf.Variable(before[0]) + before[1])
            weights = [tf.Variable(weight) for weight in before]
            hidden = tf.tanh((x * 0.5) @ weights[0] + weights[1])
            loss = tf.reduce_mean((hidden @ weights[2] + weights[3] - y) ** 2)
        gradients.append([gradient.numpy().astype(np.float64) for gradient in tape.gradient(loss, weights)])
    mean = [np.mean(parts, axis=0) for parts in zip(*gradients)]
    norm = np.sqrt(sum(np.sum(part**2) for part in mean))
    estimator.model.fit(tf.data.Dataset.from_tensors(batches[0]).concatenate(tf.data.Dataset.from_tensors(batches[1]))
                        .concatenate(tf.data.Dataset.from_tensors(batches[2])), verbose=0, shuffle=False)
    for weight, old, gradient in zip(estimator.model.trainable_variables, before, mean):
        np.testing.assert_allclose(weight.numpy(), old - gradient * min(1, 0.01 / norm), rtol=1e-4, atol=1e-6)
