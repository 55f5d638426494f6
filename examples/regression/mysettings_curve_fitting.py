"""Curve fitting: a multi-layer perceptron learns y = x² from noisy samples.

Data: synthetic, drawn here: x uniform in −1 … 1, y = x² + noise of standard deviation 0.1 (unless addNoise=False).
Command: python experiments_manager.py --usersettings examples/regression/mysettings_curve_fitting.py
         … --hparams hiddenNeurons=5 addNoise=False     to change hyperparameters without touching this file
Time: about 15 seconds on two cores. Score: root mean squared error below 0.11 with the noise of 0.1 (the mean: 0.31).
"""

import os

import keras
import matplotlib
import numpy as np
import tensorflow as tf

from expman.client import to_numpy

session_name = "curve_fitting"
workingFolder = "experiments/curve_fitting"
model_file = "../../model_zoo/mlp.py"
hparams = {"hiddenNeurons": 32, "hiddenLayers": 2, "learningRate": 0.01, "addNoise": True, "nbSamples": 5000}

n_outputs = 1
reference_labels = ["y"]

raw_data_dir_train = ""  # the samples are drawn below
raw_data_dir_val = ""
batch_size = 100
nbEpoch = 40

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 10
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.99
early_stopping_patience = 10

served_head = "prediction"
input_data_name = "x"

noise_deviation = 0.1 if hparams["addNoise"] else 0.0  # follows --hparams addNoise=False


def data_preprocess(features):
    return features


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))


def get_eval_metric_ops(predictions, labels):
    return {"rmse": (keras.metrics.RootMeanSquaredError, labels, predictions),
            "mean_absolute_error": tf.reduce_mean(tf.abs(predictions - labels))}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    num_samples = hparams["nbSamples"] if shuffle_batches else 1000
    generator = np.random.default_rng(0 if shuffle_batches else 1)
    x = generator.uniform(-1, 1, [num_samples, 1]).astype(np.float32)
    y = np.square(x) + generator.normal(0, noise_deviation, x.shape).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    if shuffle_batches:
        dataset = dataset.shuffle(num_samples)
    return dataset.batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 1], tf.float32)


class Client_IO:
    """Asks for the curve point by point and draws it beside y = x²."""

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "curve.png")
        self.debug = debugMode
        self.x = np.linspace(-1, 1, 81, dtype=np.float32)
        self.y = []

    def getInputData(self, idx):
        if idx > len(self.x):
            raise StopIteration
        return self.x[idx - 1].reshape(1, 1)

    def decodeResponse(self, result):
        self.y.append(float(to_numpy(result.outputs["prediction"])[0, 0]))
        if self.debug or len(self.y) == 1:
            print(f"x = {self.x[len(self.y) - 1]:.3f}: y = {self.y[-1]:.4f}, x² = {self.x[len(self.y) - 1] ** 2:.4f}")

    def finalize(self):
        if len(self.y) < 2:
            return
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        figure, axis = plt.subplots(figsize=(6, 4))
        x = self.x[:len(self.y)]
        axis.plot(x, x ** 2, "k--", label="x²")
        axis.plot(x, self.y, label="served model")
        axis.set(xlabel="x", ylabel="y")
        axis.legend()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
        print(f"picture: {self.picture}")
