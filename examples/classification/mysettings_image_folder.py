"""Photographs in folders named after their classes: five textures, told apart by a small convolutional network.

Data: 280 squares of 64 × 64 pixels cut from photographs that ship with scikit-image (datasamples/texture_photos; all grey values
are equally frequent in each class); training and validation come from different columns of the photographs.
Command: python experiments_manager.py --usersettings examples/classification/mysettings_image_folder.py
Time: about 35 seconds on two cores. Score: accuracy 0.98 or better on the 120 validation images (logistic regression on the pixels: 0.29).

For images of your own: put them into FOLDER/train/CLASS/ and FOLDER/val/CLASS/, and change the two folders, CLASSES and perhaps the
size and the bands below. The client asks for the validation images; for all images of another folder and the folders in it:
IMAGE_FOLDER=/my/photos python experiments_manager.py --predict --predict_stream -1 --model_dir FOLDER_OF_THE_EXPERIMENT
"""

import os

import keras
import matplotlib
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from DataProvider_input_pipeline import FileListProcessor_image_classification, ImageFitting, extractFilenames, read_image
from expman.client import to_numpy

CLASSES = ["brick", "grass", "gravel", "stars", "tissue"]  # the folders' names; the network numbers them in this order
IMAGE_SIZE = (64, 64)  # height and width; images of other sizes are stretched
NUM_CHANNELS = 1  # 3 for colour

session_name = "image_folder"
workingFolder = "experiments/image_folder"
model_file = "../../model_zoo/small_cnn_classifier.py"
hparams = {"filters": 16, "dropout": 0.3, "learningRate": 0.004}

n_outputs = len(CLASSES)
reference_labels = ["texture"]

raw_data_dir_train = "datasamples/texture_photos/train"
raw_data_dir_val = "datasamples/texture_photos/val"
raw_data_filename_extension = "*.jpg"
batch_size = 16
nbEpoch = 40

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 10
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.98
early_stopping_patience = 15

served_head = "probabilities"
input_data_name = "image"


def data_preprocess(features, model_placement):
    """Brings the grey values 0 … 255 to −1 … 1."""
    with tf.device(model_placement):
        return features / 127.5 - 1


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=model_outputs_dict["logits"]))


def get_eval_metric_ops(model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1)
    return {"accuracy": tf.reduce_mean(tf.cast(predicted == labels, tf.float32))}


def get_validation_summaries(inputs):
    return {"images": (inputs + 1) / 2}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    is_training = shuffle_batches
    return FileListProcessor_image_classification(
        raw_data_files_folder, raw_data_filename_extension, class_names=CLASSES, batch_size=batch_size,
        image_size=IMAGE_SIZE, num_channels=NUM_CHANNELS, shuffle_batches=is_training, cache=True,
        # A texture is the same upside down; turned by 90° a wall of bricks would be another one.
        apply_random_flip_left_right=is_training, apply_random_flip_up_down=is_training,
        apply_random_brightness=0.1 if is_training else None, apply_random_contrast=0.2 if is_training else None)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, *IMAGE_SIZE, NUM_CHANNELS], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"probabilities": tf.nn.softmax(model_outputs_dict["logits"]), "code": model_outputs_dict["code"]}


class Client_IO:
    """Sends the images of a folder one by one, prints the accuracy where folders are named after classes, draws some."""

    NUM_ROWS, NUM_COLUMNS = 4, 8

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "predictions.png")
        self.confusion_matrix = os.path.join(clientInitSpecs["model_dir"], "confusion_matrix.csv")  # --report shows it
        self.debug = debugMode
        folder = os.environ.get("IMAGE_FOLDER", raw_data_dir_val)
        self.files = extractFilenames(folder, raw_data_filename_extension)
        self.fitting = ImageFitting(image_size=IMAGE_SIZE, num_channels=NUM_CHANNELS)  # as in training
        self.answers = []  # for each image the probabilities of the classes

    def getInputData(self, idx):
        if idx > len(self.files):
            raise StopIteration
        return self.fitting.fitted(read_image(self.files[idx - 1]))[None].astype(np.float32)

    def decodeResponse(self, result):
        self.answers.append(to_numpy(result.outputs["probabilities"])[0])
        if self.debug:
            print(self.files[len(self.answers) - 1], dict(zip(CLASSES, self.answers[-1].round(3).tolist())))

    def finalize(self):
        if not self.answers:
            return
        predicted = [CLASSES[answer.argmax()] for answer in self.answers]
        true = [os.path.basename(os.path.dirname(os.path.abspath(file))) for file in self.files[:len(predicted)]]
        is_known = [name in CLASSES for name in true]
        is_right = [one == other or not known for one, other, known in zip(predicted, true, is_known)]
        if all(is_known):
            print(f"accuracy of the served model: {np.mean(is_right):.4f} ({sum(is_right)} of {len(is_right)} images)")
            pd.DataFrame(confusion_matrix(true, predicted, labels=CLASSES), CLASSES, CLASSES).to_csv(self.confusion_matrix)
        self.draw(predicted, is_right)
        print(f"picture: {self.picture}")

    def draw(self, predicted, is_right):
        """Draws the wrong predictions first, in red, then others from all of the folder."""
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        num_drawn = min(self.NUM_ROWS * self.NUM_COLUMNS, len(predicted))
        wrong, right = ([index for index, value in enumerate(is_right) if value is wanted] for wanted in (False, True))
        num_right = max(0, num_drawn - len(wrong))
        spread = [right[position] for position in np.linspace(0, len(right) - 1, num_right).astype(int)]
        figure, axes = plt.subplots(self.NUM_ROWS, self.NUM_COLUMNS, figsize=(11, 6.5))
        for axis in axes.flat:
            axis.axis("off")
        for axis, index in zip(axes.flat, wrong + spread):
            image = read_image(self.files[index])
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray")
            axis.set_title(f"{predicted[index]} {self.answers[index].max():.0%}", fontsize=10,
                           color="black" if is_right[index] else "red")
        figure.suptitle("Predicted class and its probability" + ("; wrong ones first, in red" if wrong else ""))
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
