"""A table: how far a diabetes has progressed within a year, from ten measurements of a patient, by a ready-made model.

Data: 442 patients, B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Annals of Statistics 32, 2004;
the CSV files in datasamples/diabetes. Every fifth patient is for validation.
Method: a linear model and a network added up, Cheng et al., "Wide & deep learning for recommender systems", 2016.
Command: python experiments_manager.py --usersettings examples/regression/mysettings_diabetes_premade.py
Time: about 20 seconds on two cores. Score: root mean squared error 55.5 (the mean: 77.0; linear regression: 57.3). With so few
patients much of that is luck: on ten random splits, at the end of training, 55.4 against 55.8 on average, better on seven of them.
"""

import functools
import os

import keras
import matplotlib
import numpy as np
import pandas as pd
import tensorflow as tf

from DataProvider_input_pipeline import (
    BucketColumn,
    FileListProcessor_csv_lines,
    NumericColumn,
    VocabularyColumn,
    encode_columns,
    extractFilenames,
)
from expman.client import to_numpy

session_name = "diabetes"
workingFolder = "experiments/diabetes"
model_file = "../../model_zoo/wide_and_deep_regressor.py"
# crosses: the wide part weighs each combination of sex and age group by itself.
hparams = {"crosses": "sex*age_years_buckets", "hiddenNeurons": 32, "hiddenLayers": 1, "dropout": 0.5, "weightDecay": 1.0,
           "learningRate": 0.003}

n_outputs = 1
reference_labels = ["progression"]

raw_data_dir_train = "datasamples/diabetes/train"
raw_data_dir_val = "datasamples/diabetes/val"
raw_data_filename_extension = "*.csv"
batch_size = 32
nbEpoch = 60

initial_learning_rate = hparams["learningRate"]
weights_moving_average_decay = 0.99
early_stopping_patience = 30

served_head = "prediction"

NUMBERS = ["age_years", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glucose"]
COLUMNS = [*map(NumericColumn, NUMBERS), VocabularyColumn("sex", ["1", "2"]), BucketColumn("age_years", [30, 40, 50, 60])]
LABEL = "progression"


@functools.cache
def training_statistics():
    """Mean and standard deviation of each column of numbers; the validation data must have no part in them."""
    files = extractFilenames(raw_data_dir_train, raw_data_filename_extension)
    return pd.concat(map(pd.read_csv, files)).agg(["mean", "std"])


def standardised(values, column):
    return (values - training_statistics()[column]["mean"]) / training_statistics()[column]["std"]


def data_preprocess(features):
    """Numbers get mean 0 and deviation 1; the served model does this itself, so that clients send plain measurements."""
    return features | {name: standardised(features[name], name) for name in NUMBERS}


def getOptimizer(learning_rate):
    return keras.optimizers.AdamW(learning_rate, weight_decay=hparams["weightDecay"])


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - standardised(labels, LABEL)))


def in_units_of_label(predictions):
    """The network predicts standardised values, for which its first weights have the right size."""
    return predictions * training_statistics()[LABEL]["std"] + training_statistics()[LABEL]["mean"]


def get_eval_metric_ops(predictions, labels):
    return {"rmse": (keras.metrics.RootMeanSquaredError, labels, in_units_of_label(predictions)),
            "mean_absolute_error": tf.reduce_mean(tf.abs(in_units_of_label(predictions) - labels))}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    return FileListProcessor_csv_lines(
        extractFilenames(raw_data_files_folder, raw_data_filename_extension), columns=COLUMNS, label_columns=[LABEL],
        batch_size=batch_size, features_as_dict=True, shuffle_batches=shuffle_batches, cache=True)


def get_input_pipeline_serving():
    return {column.feature_name: tf.TensorSpec([None, column.width], tf.float32) for column in COLUMNS}


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"prediction": in_units_of_label(model_outputs_dict["prediction"])}


class Client_IO:
    """Asks for one patient of the validation data after the other, prints the score and draws predicted against true."""

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "predicted_against_true.png")
        self.debug = debugMode
        self.patients = pd.concat(map(pd.read_csv, extractFilenames(raw_data_dir_val, raw_data_filename_extension)))
        self.predicted = []

    def getInputData(self, idx):
        if idx > len(self.patients):
            raise StopIteration
        features = encode_columns(self.patients[idx - 1:idx], COLUMNS)
        ends = np.cumsum([column.width for column in COLUMNS])
        return dict(zip([column.feature_name for column in COLUMNS], np.split(features, ends[:-1], axis=1)))

    def decodeResponse(self, result):
        self.predicted.append(float(to_numpy(result.outputs["prediction"])[0, 0]))
        if self.debug:
            print(f"true {self.patients[LABEL].iloc[len(self.predicted) - 1]}, predicted {self.predicted[-1]:.0f}")

    def finalize(self):
        if not self.predicted:
            return
        true = self.patients[LABEL].to_numpy()[:len(self.predicted)]
        error = np.sqrt(np.mean((true - self.predicted) ** 2))
        print(f"root mean squared error of the served model: {error:.2f} ({len(true)} patients; the training mean: "
              f"{np.sqrt(np.mean((true - training_statistics()[LABEL]['mean']) ** 2)):.2f})")
        self.draw(true, f"Progression of diabetes: root mean squared error {error:.1f}")
        print(f"picture: {self.picture}")

    def draw(self, true, title):
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        figure, axis = plt.subplots(figsize=(7, 6))
        limits = [0, 1.05 * max(*true, *self.predicted)]
        axis.plot(limits, limits, "k--", linewidth=1, label="predicted = true")
        axis.axhline(training_statistics()[LABEL]["mean"], color="grey", linewidth=1, linestyle=":", label="mean of training data")
        axis.scatter(true, self.predicted, c=self.patients["bmi"][:len(true)], cmap="viridis", linewidth=0)
        figure.colorbar(axis.collections[0], ax=axis, label="body mass index in kg/m²")
        axis.set(xlabel="true", ylabel="predicted", xlim=limits, ylim=limits, aspect="equal", title=title)
        axis.legend(loc="upper left")
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
