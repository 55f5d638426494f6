"""Embedding: each 2.6 seconds of a smartwatch's six sensors become a few numbers, from which the signals come back.

Data: ten people at seven shoulder exercises, Burns et al., arXiv:1802.01489, 2018, BSD licence (datasamples/watch_exercises): people
1 to 7 to train on, 8 to 10 to validate. Method: an autoencoder of densely connected convolutions (Huang et al., CVPR 2017) that
takes noise off its input (Vincent et al., ICML 2008). It never sees which exercise it is; the exercise only colours the pictures.
Command: python experiments_manager.py --usersettings examples/embedding/mysettings_1D_signals.py
         tensorboard --logdir experiments/1Dsignals_clustering        for the map of the codes, in the Projector tab
Time: about 80 seconds on two cores. Score, on people that training has not seen, of 8 numbers a window (principal components, 8
numbers): mean squared error of the standardised signals back from the code 0.14 (0.23); exercise by the 5 nearest neighbours
among the training people's codes 0.68 (0.67; all 384 values of the window: 0.745; always the commonest exercise: 0.175); adjusted
Rand index of seven clusters 0.39 (0.34). The codes hold more of the signals; whoever wants the exercise should train for it.

For signals of your own: one CSV a recording, text columns first; change LABELS, CHANNELS, the folders and the window.
"""

import functools
import os

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from code_quality import Codes, principal_component_codes, quality
from signal_picture import draw_signals_and_codes

from DataProvider_input_pipeline import FileListProcessor_csv_time_series, extractFilenames
from expman.client import to_numpy

LABELS, CHANNELS = ["exercise", "subject"], ["ax", "ay", "az", "wx", "wy", "wz"]
WINDOW, TRAINING_SHIFT, VALIDATION_SHIFT = 64, 8, 32  # rows, at 25 a second

session_name = "1Dsignals"
workingFolder = "experiments/1Dsignals_clustering"
model_file = "../../model_zoo/densenet_autoencoder_1d.py"
hparams = {"code_size": 8, "layers_per_block": 2, "growth_rate": 8, "filters": 16, "compression": 1.0, "input_noise": 0.5,
           "learningRate": 0.003}

reference_labels = LABELS

raw_data_dir_train = "datasamples/watch_exercises/train"
raw_data_dir_val = "datasamples/watch_exercises/val"
raw_data_filename_extension = "*.csv"
batch_size = 64
nbEpoch = 15

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 3
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.99
export_keep_versions = 1

served_head = "code_and_reconstruction"
input_data_name = "signals"


def windows(folder, *, shift, batch_size, shuffle_batches=False):
    """Signals `[batch, 64, 6]` as they were recorded, and text labels `[batch, 2]`."""
    return FileListProcessor_csv_time_series(
        extractFilenames(folder, raw_data_filename_extension), selected_cols=[*LABELS, *CHANNELS], labels_cols_nb=len(LABELS),
        nblines_per_block=WINDOW, windows_shift=shift, per_sample_preprocess_fn=lambda signals, labels: (signals, labels[0]),
        cache=True, batch_size=batch_size, shuffle_batches=shuffle_batches, shuffle_buffer=10_000)


@functools.cache
def channel_statistics():
    """Mean and standard deviation of each channel in the training recordings, `[6]` each."""
    rows = pd.concat([pd.read_csv(file, usecols=CHANNELS) for file in
                      extractFilenames(raw_data_dir_train, raw_data_filename_extension)])[CHANNELS].to_numpy()
    return rows.mean(axis=0).astype(np.float32), rows.std(axis=0).astype(np.float32)


def data_preprocess(features):
    """Brings each channel to mean 0 and standard deviation 1."""
    mean, deviation = channel_statistics()
    return (features - mean) / deviation


def getOptimizer(learning_rate):
    return keras.optimizers.AdamW(learning_rate, weight_decay=0.05)


def get_total_loss(inputs, model_outputs_dict):
    return tf.reduce_mean(tf.square(model_outputs_dict["reconstruction"] - inputs))


def get_eval_metric_ops(inputs, model_outputs_dict):
    errors = tf.square(model_outputs_dict["reconstruction"] - inputs)
    return {"error_acceleration": tf.reduce_mean(errors[..., :3]), "error_rotation": tf.reduce_mean(errors[..., 3:])}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    return windows(raw_data_files_folder, shift=TRAINING_SHIFT if shuffle_batches else VALIDATION_SHIFT,
                   batch_size=batch_size, shuffle_batches=shuffle_batches)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, WINDOW, len(CHANNELS)], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    """The code alone, or with the reconstruction in the sensors' units: `[batch, code_size + 64 · 6]`."""
    mean, deviation = channel_statistics()
    code, reconstruction = model_outputs_dict["code"], model_outputs_dict["reconstruction"] * deviation + mean
    flat = tf.reshape(reconstruction, [-1, WINDOW * len(CHANNELS)])
    return {"code": code, "code_and_reconstruction": tf.concat([code, flat], axis=1)}


class Client_IO:
    """Sends all windows of both groups of people, prints what the codes are good for, and draws."""

    WINDOWS_PER_REQUEST = 32

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "signals_and_codes.png")
        self.debug = debugMode
        parts = [next(windows(folder, shift=VALIDATION_SHIFT, batch_size=100_000).as_numpy_iterator())
                 for folder in (raw_data_dir_val, raw_data_dir_train)]
        self.num_validation = len(parts[0][0])
        self.signals, labels = (np.concatenate(arrays) for arrays in zip(*parts))
        self.exercises = labels[:, LABELS.index("exercise")].astype(str)
        self.answers = []

    def getInputData(self, idx):
        start = (idx - 1) * self.WINDOWS_PER_REQUEST
        if start >= len(self.signals):
            raise StopIteration
        return self.signals[start:start + self.WINDOWS_PER_REQUEST]

    def decodeResponse(self, result):
        self.answers.append(to_numpy(result.outputs["code_and_reconstruction"]))
        if self.debug:
            print(f"first code of request {len(self.answers)}: {self.answers[-1][0, :hparams['code_size']].round(3)}")

    def finalize(self):
        if not self.answers:
            return
        codes, reconstructions = np.split(np.concatenate(self.answers), [hparams["code_size"]], axis=1)
        reconstructions = reconstructions.reshape(-1, WINDOW, len(CHANNELS))
        drawn = slice(0, min(len(codes), self.num_validation))
        if len(codes) == len(self.signals):
            self.print_quality(codes, reconstructions)
        else:
            print("the quality of the codes is told when all windows are asked for, by --predict_stream -1")
        draw_signals_and_codes(self.picture, signals=self.signals[drawn], reconstructions=reconstructions[drawn],
                               codes=codes[drawn], classes=self.exercises[drawn], channels=CHANNELS, rows_per_second=25)
        print(f"picture: {self.picture}")

    def print_quality(self, codes, reconstructions):
        """Compares with principal components of the same training windows, as many as the code has numbers."""
        signals = data_preprocess(self.signals).reshape(len(codes), -1)
        reconstructed = data_preprocess(reconstructions).reshape(len(codes), -1)
        served = Codes(codes=codes, signals=signals, reconstructions=reconstructed)
        plain = principal_component_codes(signals, num_components=codes.shape[1], training=slice(self.num_validation, None))
        print(f"{self.num_validation} windows of people that training has not seen, {codes.shape[1]} numbers each:")
        for name, kind in (("served model", served), ("principal components", plain)):
            found = quality(kind, classes=self.exercises, training=slice(self.num_validation, None),
                            validation=slice(0, self.num_validation))
            print(f"{name}: " + ", ".join(f"{measure} {value:.3f}" for measure, value in found.items()))
