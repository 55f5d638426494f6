"""The contestant `tune` of `sweep_speed.py`: the same trials on Ray Tune, one at a time, written as its documentation shows.

Each trial trains the same network on as many samples for as many epochs with Keras, and reports the validation loss of each
epoch. Unlike the trials of `sweep` it keeps no folder, no checkpoint and no export.
"""

from __future__ import annotations

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import tune


def train(config: dict[str, float]) -> None:
    import keras
    import numpy as np
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, [500, 1]).astype(np.float32)
    y = (x**2 + generator.normal(0, 0.1, x.shape)).astype(np.float32)
    network = keras.Sequential([keras.Input([1]), keras.layers.Dense(32, activation="relu"),
                                keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)])
    network.compile(keras.optimizers.Adam(config["learningRate"]), "mse")
    reporting = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: tune.report({"val_loss": logs["val_loss"]}))
    network.fit(x, y, batch_size=100, epochs=3, verbose=0, validation_data=(x, y), callbacks=[reporting])


def main() -> None:
    folder, *rates = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 2}), param_space={"learningRate": tune.grid_search([float(rate) for rate in rates])},
        tune_config=tune.TuneConfig(metric="val_loss", mode="min"),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0))
    results = tuner.fit()
    assert results.num_errors == 0 and len(results) == len(rates), results.errors
    ray.shutdown()


if __name__ == "__main__":
    main()
