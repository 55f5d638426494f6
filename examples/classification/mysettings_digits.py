"""Handwritten digits: 8 × 8 grey images of the digits 0 to 9, classified by a small convolutional network.

Data: 1,797 images by 43 writers, E. Alpaydin and C. Kaynak, 1998, UCI repository (CC BY 4.0), shipped with scikit-learn.
Command: python experiments_manager.py --usersettings examples/classification/mysettings_digits.py
Time: about 15 seconds on two cores. Score: accuracy 0.98 or better on the held-out fifth (logistic regression: 0.97).
"""

import os

import keras
import matplotlib
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

from expman.client import to_numpy

session_name = "digits"
workingFolder = "experiments/digits"
model_file = "../../model_zoo/small_cnn_classifier.py"
hparams = {"filters": 32, "dropout": 0.3, "learningRate": 0.002}

random_seed = 42
n_outputs = 10
reference_labels = ["digit"]

raw_data_dir_train = ""  # the images come with scikit-learn
raw_data_dir_val = ""
batch_size = 32
nbEpoch = 30

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 8
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.99
early_stopping_patience = 10

served_head = "probabilities"
input_data_name = "image"


def load_part(is_training):
    """Images float32 `[n, 8, 8, 1]` in 0 … 16 and classes int64 `[n]` of the four fifths for training, or of the rest."""
    digits = load_digits()
    parts = train_test_split(digits.images[..., None].astype(np.float32), digits.target, test_size=0.2,
                             stratify=digits.target, random_state=0)
    return (parts[0], parts[2]) if is_training else (parts[1], parts[3])


def data_preprocess(features, model_placement):
    """Brings the grey values 0 … 16 to 0 … 1."""
    with tf.device(model_placement):
        return features / 16.0


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=model_outputs_dict["logits"]))


def get_eval_metric_ops(model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1)
    return {"accuracy": tf.reduce_mean(tf.cast(predicted == labels, tf.float32))}


def get_validation_summaries(inputs):
    return {"digits": inputs}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    images, classes = load_part(is_training=shuffle_batches)
    dataset = tf.data.Dataset.from_tensor_slices((images, classes))
    if shuffle_batches:
        dataset = dataset.shuffle(len(images))
    return dataset.batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 8, 8, 1], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"probabilities": tf.nn.softmax(model_outputs_dict["logits"]), "code": model_outputs_dict["code"]}


class Client_IO:
    """Sends the held-out images one by one, prints the accuracy and draws some of them with what the server said."""

    NUM_DRAWN = 40

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "predictions.png")
        self.confusion_matrix = os.path.join(clientInitSpecs["model_dir"], "confusion_matrix.csv")  # --report shows it
        self.debug = debugMode
        self.images, self.classes = load_part(is_training=False)
        self.predicted = []

    def getInputData(self, idx):
        if idx > len(self.images):
            raise StopIteration
        return self.images[idx - 1:idx]

    def decodeResponse(self, result):
        probabilities = to_numpy(result.outputs["probabilities"])[0]
        self.predicted.append(int(probabilities.argmax()))
        if self.debug:
            print(f"true {self.classes[len(self.predicted) - 1]}, predicted {self.predicted[-1]}, {probabilities.round(3)}")

    def finalize(self):
        if not self.predicted:
            return
        num_correct = int(np.sum(self.classes[:len(self.predicted)] == self.predicted))
        print(f"accuracy of the served model: {num_correct / len(self.predicted):.4f} "
              f"({num_correct} of {len(self.predicted)} images)")
        counts = confusion_matrix(self.classes[:len(self.predicted)], self.predicted, labels=range(n_outputs))
        pd.DataFrame(counts).to_csv(self.confusion_matrix)
        self.draw()
        print(f"picture: {self.picture}")

    def draw(self):
        """Draws the wrong predictions first, in red."""
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        order = sorted(range(len(self.predicted)), key=lambda index: self.predicted[index] == self.classes[index])
        figure, axes = plt.subplots(5, 8, figsize=(9, 6.5), squeeze=True)
        for axis in axes.flat:
            axis.axis("off")
        for axis, index in zip(axes.flat, order[:self.NUM_DRAWN]):
            true, predicted = self.classes[index], self.predicted[index]
            axis.imshow(self.images[index, :, :, 0], cmap="gray_r")
            axis.set_title(f"true {true}, said {predicted}", fontsize=8, color="black" if true == predicted else "red")
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
