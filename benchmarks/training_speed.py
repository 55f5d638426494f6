"""Training steps per second: this manager against plain `model.fit` and against the best hand-written loop.

    python benchmarks/training_speed.py [--repeats N]

The three train the same network on the same data in the same batches on the CPU, in this process and in turn, and medians of
the ratios are given. The manager has all its features on: averaged weights, TensorBoard, checkpoints, an evaluation an epoch,
the check for values that are not finite, exact restart; `random_seed = None`, since the others are not deterministic either.
Plain `fit` evaluates once an epoch and does nothing else. Epochs last some seconds, as short ones of real trainings do: what the
manager does at the end of each (evaluation, verified export, checkpoint, Projector) takes about 0.1 s. The hand-written loop runs over the
iterator in the graph and does not even evaluate.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.runtimes.tensorflow_notices import start_tensorflow  # noqa: E402

start_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from expman.records.experiment_folder import ExperimentFolder  # noqa: E402
from expman.settings.loading import load_settings  # noqa: E402
from expman.training.estimator import Estimator  # noqa: E402

SETTINGS = '''
import keras, tensorflow as tf
from training_speed import CASES
case = CASES["THIS_CASE"]
session_name, workingFolder, model_file = "speed", "unused", "model.py"
random_seed = None
raw_data_dir_train = raw_data_dir_val = ""
batch_size, nbEpoch = case.batch_size, case.num_epochs
initial_learning_rate = 0.001
weights_moving_average_decay = 0.99
served_head = "prediction"
def data_preprocess(features): return features
def getOptimizer(learning_rate): return keras.optimizers.Adam(learning_rate)
def get_total_loss(predictions, labels): return case.loss(labels, predictions)
def get_eval_metric_ops(predictions, labels): return {}
def get_input_pipeline_train_val(shuffle_batches):
    return case.training_data() if shuffle_batches else case.validation_data()
def get_input_pipeline_serving(): return tf.TensorSpec([None, *case.input_shape], tf.float32)
class Client_IO:
    def getInputData(self, idx): raise StopIteration
    def decodeResponse(self, result): pass
    def finalize(self): pass
'''

MODEL = '''
from training_speed import CASES
def model(data): return {"prediction": CASES["THIS_CASE"].network(data)}
'''


class Mlp:
    """The curve-fitting network: 32 and 32 hidden neurons on one number; nearly all time is overhead."""

    batch_size, num_epochs, steps_per_epoch, input_shape = 100, 3, 20_000, (1,)
    bars: ClassVar = {"plain fit": 3.0, "hand-written loop": 0.8}

    @staticmethod
    def loss(labels: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(predictions - labels))

    @staticmethod
    def network(data: keras.KerasTensor) -> keras.KerasTensor:
        for _ in range(2):
            data = keras.layers.Dense(32, activation="relu")(data)
        return keras.layers.Dense(1)(data)

    @classmethod
    def training_data(cls) -> tf.data.Dataset:
        x = np.random.default_rng(0).uniform(-1, 1, [cls.batch_size * cls.steps_per_epoch, 1]).astype(np.float32)
        return tf.data.Dataset.from_tensor_slices((x, x**2)).batch(cls.batch_size)

    @classmethod
    def validation_data(cls) -> tf.data.Dataset:
        return cls.training_data().take(10)


class Cnn:
    """Three convolutions of 64 filters on 32 × 32 images; nearly all time is computing."""

    batch_size, num_epochs, steps_per_epoch, input_shape = 64, 2, 100, (32, 32, 3)
    bars: ClassVar = {"plain fit": 0.98}

    @staticmethod
    def loss(labels: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.cast(labels, tf.int64), logits=predictions))  # Keras hands labels over as floats

    @staticmethod
    def network(data: keras.KerasTensor) -> keras.KerasTensor:
        for _ in range(3):
            data = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(data)
        return keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(data))

    @classmethod
    def training_data(cls) -> tf.data.Dataset:
        generator = np.random.default_rng(0)
        images = generator.normal(size=[cls.batch_size * cls.steps_per_epoch, 32, 32, 3]).astype(np.float32)
        labels = generator.integers(10, size=len(images))
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(cls.batch_size)

    @classmethod
    def validation_data(cls) -> tf.data.Dataset:
        return cls.training_data().take(1)


CASES = {"mlp": Mlp, "cnn": Cnn}


class EpochTimes(keras.callbacks.Callback):
    """Wall time from the end of the first epoch, which compiles, to the end of the last."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == 0:
            self.start = time.perf_counter()
        self.end = time.perf_counter()


def plain_fit(case: type[Mlp] | type[Cnn], name: str) -> float:
    inputs = keras.Input(case.input_shape)
    model = keras.Model(inputs, case.network(inputs))
    model.compile(keras.optimizers.Adam(0.001), loss=case.loss)
    times = EpochTimes()
    model.fit(case.training_data().prefetch(tf.data.AUTOTUNE), validation_data=case.validation_data(), verbose=0,
              epochs=case.num_epochs, callbacks=[times])
    return (case.num_epochs - 1) * case.steps_per_epoch / (times.end - times.start)


def hand_written_loop(case: type[Mlp] | type[Cnn], name: str) -> float:
    inputs = keras.Input(case.input_shape)
    model = keras.Model(inputs, case.network(inputs))
    optimizer = keras.optimizers.Adam(0.001)
    optimizer.build(model.trainable_variables)

    @tf.function
    def epoch(iterator: tf.data.Iterator) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(case.steps_per_epoch):
            x, y = next(iterator)
            with tf.GradientTape() as tape:
                loss = case.loss(y, model(x, training=True))
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
            total += loss
        return total

    iterator = iter(case.training_data().prefetch(tf.data.AUTOTUNE).repeat())
    epoch(iterator)
    start = time.perf_counter()
    for _ in range(case.num_epochs - 1):
        epoch(iterator)
    return (case.num_epochs - 1) * case.steps_per_epoch / (time.perf_counter() - start)


def manager(case: type[Mlp] | type[Cnn], name: str) -> float:
    times = EpochTimes()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mysettings.py"
        file.write_text(SETTINGS.replace("THIS_CASE", name), encoding="utf-8")
        (Path(folder) / "model.py").write_text(MODEL.replace("THIS_CASE", name), encoding="utf-8")
        settings = load_settings(file)
        settings.functions["addon_callbacks"] = lambda: [times]
        estimator = Estimator(settings=settings)
        with contextlib.redirect_stdout(io.StringIO()):
            estimator.train(ExperimentFolder.create(working_folder=folder, session_name=name, hparams={}))
    return (case.num_epochs - 1) * case.steps_per_epoch / (times.end - times.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", choices=CASES, action="append")
    options = parser.parse_args()
    contestants: dict[str, Callable[..., float]] = {
        "manager": manager, "plain fit": plain_fit, "hand-written loop": hand_written_loop}
    for name in options.case or CASES:
        rows = [{label: contestant(CASES[name], name) for label, contestant in contestants.items()}
                for _ in range(options.repeats)]
        print(f"{name}: " + ", ".join(f"{label} {statistics.median(row[label] for row in rows):,.0f} steps/s"
                                      for label in contestants))
        for other in ("plain fit", "hand-written loop"):
            ratios = [row["manager"] / row[other] for row in rows]
            bar = CASES[name].bars.get(other)
            print(f"  manager / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                  + (f", bar {bar}" if bar else ""))


if __name__ == "__main__":
    sys.modules["training_speed"] = sys.modules["__main__"]  # the settings file imports the cases from here
    main()
