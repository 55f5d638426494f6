"""Curve fitting with doubt: a network tells how noisy the data are at each x, and where it has seen too few of them.

Data: synthetic, drawn here: y = sin(1.5 x) + noise, whose standard deviation grows from 0.05 at x = 0 to 0.35 at x = 5. No
sample has an x between 3 and 4.
Method: concrete dropout with a mean and a variance head, Gal, Hron, Kendall, NeurIPS 2017 (see the model file).
Command: python experiments_manager.py --usersettings examples/regression/mysettings_curve_fitting_concrete_dropout.py
Time: about 20 seconds on two cores. Score: negative log-likelihood of held-out samples −0.32 nats a sample; a Gaussian around
the mean of all y: 0.92; the true curve with one noise level for all x: −0.13; the true curve with the true noise: −0.36.
"""

import os

import keras
import matplotlib
import numpy as np
import tensorflow as tf

from expman.client import to_numpy
from model_zoo.losses.heteroscedastic import gaussian_negative_log_likelihood

session_name = "curve_fitting_concrete_dropout"
workingFolder = "experiments/curve_fitting_concrete_dropout"
model_file = "../../model_zoo/mlp_concrete_dropout.py"
# drop_inputs: there is one input, and a network without it knows nothing.
hparams = {"nb_train_samples": 500, "hiddenNeurons": 64, "hiddenLayers": 3, "drop_inputs": False, "monte_carlo_draws": 100,
           "learningRate": 0.005}

n_outputs = 1
reference_labels = ["y"]

raw_data_dir_train = ""  # the samples are drawn below
raw_data_dir_val = ""
batch_size = 25
nbEpoch = 30  # of five passes each, see get_input_pipeline_train_val

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 8
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.99
earlystopping_metric = "negative_log_likelihood"
earlystopping_mode = "min"
early_stopping_patience = 10

served_head = "prediction"
input_data_name = "x"

SMALLEST_X, GAP_START, GAP_END, LARGEST_X = 0.0, 3.0, 4.0, 5.0


def true_mean(x):
    return np.sin(1.5 * x)


def true_deviation(x):
    return 0.05 + 0.06 * x


def draw_samples(num_samples, *, seed):
    """X and y, float32 `[num_samples, 1]` each; x is uniform on both sides of the gap."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(SMALLEST_X, LARGEST_X - (GAP_END - GAP_START), [num_samples, 1])
    x = np.where(x < GAP_START, x, x + GAP_END - GAP_START)
    return x.astype(np.float32), generator.normal(true_mean(x), true_deviation(x)).astype(np.float32)


def held_out_samples():
    return draw_samples(1000, seed=1)


def data_preprocess(features):
    """Brings x to −1 … 1.5."""
    return features / 2 - 1


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels, weights_loss):
    """The variational bound: how improbable the labels are, and what the weights cost, from which the dropout is learnt."""
    return tf.reduce_mean(gaussian_negative_log_likelihood(
        labels, model_outputs_dict["prediction_mean"], model_outputs_dict["prediction_log_variance"])) + weights_loss


def get_eval_metric_ops(model_outputs_dict, labels):
    mean = model_outputs_dict["prediction_mean"]
    return {"negative_log_likelihood": tf.reduce_mean(gaussian_negative_log_likelihood(
                labels, mean, model_outputs_dict["prediction_log_variance"])),
            "rmse": (keras.metrics.RootMeanSquaredError, labels, mean)}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    x, y = draw_samples(hparams["nb_train_samples"], seed=0) if shuffle_batches else held_out_samples()
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    if shuffle_batches:
        dataset = dataset.shuffle(len(x)).repeat(5)  # one pass is so short that evaluations and exports would take the time
    return dataset.batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 1], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    """One head with all that the client draws, `[batch, 3]`: the mean and the two standard deviations."""
    return {"prediction": tf.concat([model_outputs_dict[name] for name in (
        "prediction_mean", "epistemic_deviation", "aleatoric_deviation")], axis=-1)}


class Client_IO:
    """Asks for the curve and for the held-out samples, prints how good the answers are and draws curve and doubt."""

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "curve_with_doubt.png")
        self.debug = debugMode
        self.grid = np.linspace(SMALLEST_X, LARGEST_X, 201, dtype=np.float32)[:, None]
        self.held_out_x, self.held_out_y = held_out_samples()
        self.answers = []  # to the curve's points, then to the held-out ones; a row holds mean, epistemic, aleatoric deviation

    def getInputData(self, idx):
        if idx > 2:
            raise StopIteration
        return self.grid if idx == 1 else self.held_out_x

    def decodeResponse(self, result):
        self.answers.append(to_numpy(result.outputs["prediction"]))
        if self.debug:
            print(f"first point: mean, epistemic and aleatoric deviation {self.answers[-1][0].round(3)}")

    def finalize(self):
        if len(self.answers) > 1:
            mean, epistemic, aleatoric = self.answers[1].T
            variance = epistemic ** 2 + aleatoric ** 2
            likelihood = -0.5 * np.mean(np.log(2 * np.pi * variance) + (self.held_out_y[:, 0] - mean) ** 2 / variance)
            print(f"negative log-likelihood of {len(mean)} held-out samples under the served model: {-likelihood:.4f} nats")
        if self.answers:
            self.print_deviations(*self.answers[0].T[1:])
            self.draw(*self.answers[0].T)
            print(f"picture: {self.picture}")

    def print_deviations(self, epistemic, aleatoric):
        x = self.grid[:, 0]
        in_gap = (x > GAP_START) & (x < GAP_END)
        error = np.abs(aleatoric - true_deviation(x))[~in_gap]
        print(f"aleatoric deviation: {error.mean():.3f} beside the true one on average, where there were training samples")
        print(f"epistemic deviation: {epistemic[in_gap].mean():.3f} on average in the gap, {epistemic[~in_gap].mean():.3f} elsewhere")

    def draw(self, mean, epistemic, aleatoric):
        """Above the curve with its bands, below the two deviations against the true noise."""
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        figure, (curve, deviation) = plt.subplots(2, sharex=True, figsize=(8, 7), height_ratios=[2, 1])
        x = self.grid[:, 0]
        total = np.hypot(epistemic, aleatoric)
        curve.fill_between(x, mean - 2 * total, mean + 2 * total, color="tab:orange", alpha=0.25, linewidth=0,
                           label="± 2 deviations: epistemic and aleatoric")
        curve.fill_between(x, mean - 2 * epistemic, mean + 2 * epistemic, color="tab:blue", alpha=0.35, linewidth=0,
                           label="± 2 deviations: epistemic alone")
        curve.plot(*draw_samples(hparams["nb_train_samples"], seed=0), "k.", markersize=2, alpha=0.4, label="training samples")
        curve.plot(x, true_mean(x), "k--", label="true curve")
        curve.plot(x, mean, color="tab:blue", label="served mean")
        deviation.plot(x, true_deviation(x), "k--", label="true noise")
        deviation.plot(x, aleatoric, color="tab:orange", label="aleatoric deviation: noise in the data")
        deviation.plot(x, epistemic, color="tab:blue", label="epistemic deviation: what more data would lower")
        curve.set(ylabel="y", title="What the network knows, and how sure it is")
        deviation.set(xlabel="x", ylabel="standard deviation", xlim=(SMALLEST_X, LARGEST_X), ylim=(0, None))
        for axis, place in ((curve, "lower left"), (deviation, "upper left")):
            axis.axvspan(GAP_START, GAP_END, color="black", alpha=0.06, linewidth=0, label="no training samples", zorder=0)
            axis.legend(loc=place, fontsize=8)
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
