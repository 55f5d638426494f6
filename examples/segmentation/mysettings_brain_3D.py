"""Background, fluid, grey and white matter, found voxel by voxel in a noisy, unevenly lit T1 volume by a small 3D U-Net.

Data: the ICBM 152 template of 2009 at 2 mm, V. Fonov et al. 2011, as shipped with nilearn, with shading and noise added so that
it is as hard as a scan (see datasamples/README.md); three slabs of the brain for training, two others for validation.
Method: 3D U-Net, Çiçek et al. 2016 (see model_zoo), with cross-entropy and the Dice loss.
Command: python experiments_manager.py --usersettings examples/segmentation/mysettings_brain_3D.py
Time: about 110 seconds on two cores. Score on the validation slabs: voxel accuracy 0.936, mean IoU 0.828 (a Gaussian blur and
the best class for each grey value: 0.930, 0.797; random forest on 7 × 7 × 7 neighbourhoods: 0.923, 0.780; background
everywhere: 0.404, 0.101).
"""

import functools
import os

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from label_pictures import add_legend, grey_levels, overlay
from label_scores import LabelScores

from DataProvider_input_pipeline import FileListProcessor_volumes, extractFilenames
from expman.client import to_numpy
from model_zoo.losses.dice import dice_loss

session_name = "brain"
workingFolder = "experiments/brain"
model_file = "../../model_zoo/unet_3d.py"
hparams = {"filters": 6, "depth": 2, "dropout": 0.0, "learningRate": 0.01, "dice_weight": 0.5}

classes = {"background": (40, 40, 40), "fluid and other": (0, 114, 178), "grey matter": (230, 159, 0),
           "white matter": (240, 228, 160)}  # their red, green, blue in pictures
n_outputs = len(classes)
patch_voxels = (25, 16, 26)  # x (left to right), y (back to front), z (upwards); nine cover a slab for validation

raw_data_dir_train = "datasamples/brain_t1/train"
raw_data_dir_val = "datasamples/brain_t1/val"
raw_data_filename_extension = "*.npz"
batch_size = 10  # many small patches: each batch then holds about the same mix of tissues, as batch normalisation needs
nbEpoch = 24

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 6
learning_rate_decay_factor = 0.4
weights_moving_average_decay = 0.95
earlystopping_metric = "mean_iou"
earlystopping_mode = "max"
early_stopping_patience = 12

serving_client_timeout_int_secs = 30  # a request is a whole slab
served_head = "classes"
input_data_name = "volume"


def data_preprocess(features, model_placement):
    """Brings the grey values 0 … 255 to 0 … 4, about standard deviations of the tissue."""
    with tf.device(model_placement):
        return features / 64.0


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels):
    logits = model_outputs_dict["logits"]
    cross_entropy = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return cross_entropy + hparams["dice_weight"] * dice_loss(labels, logits)


def get_eval_metric_ops(model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)
    return {"mean_iou": (functools.partial(keras.metrics.MeanIoU, num_classes=n_outputs), labels, predicted),
            "accuracy": tf.reduce_mean(tf.cast(predicted == labels, tf.float32))}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    """Random patches in training, in evaluation a grid of patches that covers each slab."""
    return FileListProcessor_volumes(
        extractFilenames(raw_data_files_folder, raw_data_filename_extension), raw_key="raw", labels_key="label",
        batch_size=batch_size, shuffle_samples=shuffle_batches, patch_ratio_vs_input=patch_voxels, max_patches_per_image=80,
        image_area_coverage_factor=10.0,
        apply_random_flip_depth=True,  # the first axis: left and right; brightness stays, as it tells the tissues
        shuffle_buffer=240,  # all patches of a pass: batches of one slab alone have its shading and upset the normalisation
        cache=True)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, None, None, None, 1], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"classes": tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)}


class Client_IO:
    """Sends each validation slab whole, prints the score and draws slices of them with truth and prediction."""

    SLICES = (2, 7, 12)  # of each slab, across y

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "slices.png")
        self.debug = debugMode
        self.files = extractFilenames(raw_data_dir_val, raw_data_filename_extension)
        self.scores = LabelScores(n_outputs)
        self.slices = []  # (title, image, truth, prediction), each [x, z]

    def getInputData(self, idx):
        if idx > len(self.files):
            raise StopIteration
        with np.load(self.files[idx - 1]) as slab:
            self.raw, self.truth = slab["raw"], slab["label"]
        return self.raw[None, ..., None].astype(np.float32)

    def decodeResponse(self, result):
        predicted = to_numpy(result.outputs["classes"])[0]
        self.scores.add(self.truth, predicted)
        name = os.path.splitext(os.path.basename(self.files[len(self.slices) // len(self.SLICES)]))[0]
        if self.debug:
            print(f"{name}: accuracy {np.mean(predicted == self.truth):.4f}")
        self.slices += [(f"{name}, y = {y}", self.raw[:, y], self.truth[:, y], predicted[:, y]) for y in self.SLICES]

    def finalize(self):
        if not self.slices:
            return
        print(f"accuracy of the served model: {self.scores.accuracy:.4f} ({self.scores.num_pixels} voxels)")
        print(f"mean IoU of the served model: {self.scores.mean_iou:.4f}")
        self.draw()
        print(f"picture: {self.picture}")

    def draw(self):
        """A column a slice, upright: image, truth, prediction, and in red where they differ."""
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        rows = ("image", "truth", "prediction", "errors")
        figure, axes = plt.subplots(len(rows), len(self.slices), figsize=(2.2 * len(self.slices), 2.3 * len(rows) + 0.7),
                                    squeeze=False, layout="constrained")
        colours = list(classes.values())
        for column, (title, *maps) in zip(axes.T, self.slices, strict=True):
            raw, truth, predicted = (np.flipud(part.T) for part in maps)  # z upwards
            grey = raw[..., None]
            panels = (grey_levels(grey), overlay(grey, truth, colours, opacity=1.0), overlay(grey, predicted, colours, opacity=1.0),
                      overlay(grey, np.where(truth == predicted, -1, 0), [(255, 0, 0)], opacity=0.9))
            column[0].set_title(title, fontsize=10)
            for axis, panel in zip(column, panels, strict=True):
                axis.imshow(panel)
                axis.set(xticks=[], yticks=[])
        for axis, name in zip(axes[:, 0], rows, strict=True):
            axis.set_ylabel(name, fontsize=11)
        add_legend(figure, class_names=list(classes), colours=colours)
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
