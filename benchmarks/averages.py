"""What averaging the weights does to the validation loss, with all settings at their defaults.

Trains small networks on eight tables, 60 to 2,700 steps, and prints the ratio of the best validation losses: with averages /
without. All ways to average follow the same weights of the same training: the rule of the manager, (1 + n) / (60 + n), TensorFlow 1's
(1 + n) / (10 + n) and others of its kind, and the constant decay that Keras' optimizers have.

Command: python benchmarks/averages.py [--seeds N]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets
from sklearn.model_selection import train_test_split

from expman.training.steps import weights_averaging

DECAY = 0.998  # the default of weights_moving_average_decay
BATCH_SIZE = 32
RULES = {"constant": lambda n: DECAY} | {
    f"(1 + n) / ({lag} + n)": lambda n, lag=lag: tf.minimum(DECAY, (1 + n) / (lag + n)) for lag in (10, 40, 80)} | {
    "1 − (n + 1)^−0.75": lambda n: tf.minimum(DECAY, 1 - (n + 1) ** -0.75)}


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray, bool, int]]:
    """Name, features, targets, whether they are classes, epochs."""
    for name, load, num_epochs in (("diabetes", datasets.load_diabetes, 15), ("linnerud", datasets.load_linnerud, 60),
                                   ("iris", datasets.load_iris, 30), ("wine", datasets.load_wine, 30),
                                   ("breast cancer", datasets.load_breast_cancer, 15), ("digits", datasets.load_digits, 60)):
        data = load()
        yield name, data.data, data.target, name not in ("diabetes", "linnerud"), num_epochs
    features, targets = datasets.make_friedman1(2000, noise=1.0, random_state=0)
    yield "Friedman 1", features, targets, False, 40
    features, targets = datasets.make_moons(300, noise=0.2, random_state=0)
    yield "moons", features, targets, True, 100


def ratios(features: np.ndarray, targets: np.ndarray, *, is_classes: bool, num_epochs: int, seed: int) -> list[float]:
    """Steps, then the best validation loss of the manager's averages and of each rule's, divided by that of the weights."""
    keras.utils.set_random_seed(seed)
    x, x_val, y, y_val = train_test_split(features.astype(np.float32), targets, test_size=0.2, random_state=seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, x_val = (x - mean) / deviation, (x_val - mean) / deviation
    if is_classes:
        num_outputs, loss = int(targets.max()) + 1, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        y, y_val = (part.reshape(len(part), -1).astype(np.float32) for part in (y, y_val))
        y, y_val = (y - y.mean(axis=0)) / y.std(axis=0), (y_val - y.mean(axis=0)) / y.std(axis=0)
        num_outputs, loss = y.shape[1], keras.losses.MeanSquaredError()
    network = keras.Sequential([keras.Input([x.shape[1]]), keras.layers.Dense(32, activation="relu"),
                                keras.layers.Dense(32, activation="relu"), keras.layers.Dense(num_outputs)])
    weights = network.trainable_variables
    optimizer = keras.optimizers.Adam(0.01)
    weights_averaging.keep_averages(optimizer, decay=DECAY)
    optimizer.build(weights)
    weights_averaging.start_averages_at_weights(optimizer, weights)
    followed = {name: [tf.Variable(weight.value) for weight in weights] for name in RULES}

    @tf.function
    def step(batch: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, network(batch, training=True))
        optimizer.apply(tape.gradient(value, weights), weights)
        for name, averages in followed.items():
            decay = RULES[name](tf.cast(optimizer.iterations.value, tf.float32))
            for average, weight in zip(averages, weights, strict=True):
                average.assign(decay * average + (1 - decay) * weight.value)

    def validated(values: list[tf.Variable]) -> float:
        outputs, _ = network.stateless_call([tf.convert_to_tensor(value) for value in values],
                                            network.non_trainable_variables, x_val)
        return float(loss(y_val, outputs))

    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed).batch(BATCH_SIZE)
    best, num_steps = [np.inf] * (2 + len(RULES)), 0
    for _ in range(num_epochs):
        for batch in batches:
            step(*batch)
            num_steps += 1
        now = [validated(weights), validated(weights_averaging.averages(optimizer)), *map(validated, followed.values())]
        best = [min(pair) for pair in zip(best, now, strict=True)]
    return [num_steps, *(value / best[0] for value in best[1:])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    num_seeds = parser.parse_args().seeds
    print(f"best validation loss, divided by that without averages; medians of {num_seeds} seeds\n")
    print("| table | steps | manager | " + " | ".join(RULES) + " |\n| --- | --- | --- |" + " --- |" * len(RULES))
    for name, features, targets, is_classes, num_epochs in tables():
        runs = [ratios(features, targets, is_classes=is_classes, num_epochs=num_epochs, seed=seed) for seed in range(num_seeds)]
        steps, *values = np.median(np.asarray(runs), axis=0)
        print(f"| {name} | {steps:.0f} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    main()
