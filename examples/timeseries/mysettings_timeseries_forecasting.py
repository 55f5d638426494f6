"""Forecasting: the next year of a weekly series from the two years before, by N-BEATS or a temporal convolutional network.

Data: carbon dioxide at Mauna Loa, Keeling and Whorf 2004, public domain (datasamples/co2_weekly): 1965 to 1989 to train on,
1990 to 2001 to validate. Method: Oreshkin et al., "N-BEATS", ICLR 2020; Bai et al., arXiv:1803.01271, 2018.
Command: python experiments_manager.py --usersettings examples/timeseries/mysettings_timeseries_forecasting.py
         … --hparams network=temporal_convolutional_network
Time: about 45 seconds on two cores (the convolutional network: 60). Score: root mean squared error 0.64 ppm over all 52 weeks
(0.83). Plain forecasts: last value 3.29, same week of the year before 1.80, the same plus the last year's growth 1.01. Linear
autoregression (ridge) with the penalty that is best for the validation years reaches 0.64 as well: this series is nearly linear.

For a series of your own: change the two folders and `selected_cols`; the first column names the time, as a text.
"""

import os

import keras
import numpy as np
import tensorflow as tf
from forecast_picture import draw_forecasts
from plain_forecasts import plain_forecasts, rmse

from DataProvider_input_pipeline import FileListProcessor_csv_time_series, extractFilenames
from expman.client import to_numpy

NUM_PAST, NUM_AHEAD = 104, 52  # weeks

session_name = "timeseries_forecasting"
workingFolder = "experiments/timeseries_forecasting"
hparams = {"network": "n_beats", "learningRate": 0.003, "weightDecay": 0.1,
           "hiddenNeurons": 64, "basis_size": 8,  # of N-BEATS
           "filters": 24, "kernel_size": 8, "levels": 4, "dropout": 0.0}  # of the convolutional network; it sees 211 weeks
model_file = f"../../model_zoo/{hparams['network']}.py"

n_outputs = NUM_AHEAD

raw_data_dir_train = "datasamples/co2_weekly/train"
raw_data_dir_val = "datasamples/co2_weekly/val"
raw_data_filename_extension = "*.csv"
batch_size = 64
nbEpoch = 40

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 8
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.98

served_head = "forecast" if hparams["network"] == "n_beats" else "prediction"  # as the model file calls it
input_data_name = "past"


def windows(folder, *, batch_size, shuffle_batches=False, per_sample=None):
    """Each window of past and future weeks, one week apart: values `[batch, 156, 1]` in ppm, and dates `[batch, 156, 1]`."""
    return FileListProcessor_csv_time_series(
        extractFilenames(folder, raw_data_filename_extension), selected_cols=["date", "co2_ppm"], labels_cols_nb=1,
        nblines_per_block=NUM_PAST + NUM_AHEAD, windows_shift=1, per_sample_preprocess_fn=per_sample, cache=True,
        batch_size=batch_size, shuffle_batches=shuffle_batches, shuffle_buffer=2000)


def past_and_future(values, dates):
    """The past in ppm, and the future as its difference from the last value known, so that the level does not matter."""
    past, future = values[:NUM_PAST, 0], values[NUM_PAST:, 0]
    return past, future - past[-1]


def data_preprocess(features):
    """The past relative to its last value, with a channel for the convolutional network."""
    relative = features - features[:, -1:]
    return relative if hparams["network"] == "n_beats" else relative[..., None]


def getOptimizer(learning_rate):
    return keras.optimizers.AdamW(learning_rate, weight_decay=hparams["weightDecay"])


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))


def get_eval_metric_ops(predictions, labels):
    return {"rmse": (keras.metrics.RootMeanSquaredError, labels, predictions),
            "rmse_last_week": (keras.metrics.RootMeanSquaredError, labels[:, -1], predictions[:, -1])}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    return windows(raw_data_files_folder, batch_size=batch_size, shuffle_batches=shuffle_batches, per_sample=past_and_future)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, NUM_PAST], tf.float32)


class Client_IO:
    """Sends the past of each validation window, prints the error beside those of plain forecasts, and draws."""

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "forecasts.png")
        self.debug = debugMode
        values, dates = next(windows(raw_data_dir_val, batch_size=100_000).as_numpy_iterator())
        self.values, self.dates = values[..., 0], dates[..., 0].astype("datetime64[D]")
        self.forecasts = []

    def getInputData(self, idx):
        if idx > len(self.values):
            raise StopIteration
        return self.values[idx - 1:idx, :NUM_PAST]

    def decodeResponse(self, result):
        past = self.values[len(self.forecasts), :NUM_PAST]
        self.forecasts.append(past[-1] + to_numpy(result.outputs[served_head])[0])
        if self.debug:
            print(f"{self.dates[len(self.forecasts) - 1, NUM_PAST]}: {self.forecasts[-1].round(2)}")

    def finalize(self):
        if not self.forecasts:
            return
        values, dates = self.values[:len(self.forecasts)], self.dates[:len(self.forecasts)]
        past, truth = values[:, :NUM_PAST], values[:, NUM_PAST:]
        training_values, _ = next(windows(raw_data_dir_train, batch_size=100_000).as_numpy_iterator())
        forecasts = {"served model": np.stack(self.forecasts),
                     **plain_forecasts(past, training_windows=training_values[..., 0], period=52)}
        print(f"root mean squared error of {len(truth)} forecasts of {NUM_AHEAD} weeks, in ppm:")
        for name, forecast in forecasts.items():
            print(f"{name}: {rmse(forecast, truth):.3f}")
        draw_forecasts(self.picture, forecasts=forecasts, past=past, truth=truth, dates=dates, unit="CO₂ in ppm")
        print(f"picture: {self.picture}")
