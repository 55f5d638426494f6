"""Five photographed textures, found pixel by pixel in mosaics by a small U-Net, and in an image of any size by tiles.

Data: mosaics of brick, grass, gravel, stars and tissue with their exact label maps, made from the images that ship with
scikit-image (CC0 and free of known copyright, see datasamples/README.md): 8 for training, 3 for validation, 1 large one.
Method: U-Net, Ronneberger et al. 2015, with cross-entropy and Lovász-softmax, Berman et al. 2018 (see model_zoo).
Command: python experiments_manager.py --usersettings examples/segmentation/mysettings_semanticSegmentation.py
Time: about 150 seconds on two cores. Score on the validation mosaics: pixel accuracy 0.949, mean IoU 0.905; on the large one
0.950, 0.902 (random forest on 31 filter responses a pixel: 0.867, 0.767 and 0.847, 0.728; the commonest class: 0.182, 0.036).

For your own images change the folders, `classes`, `num_bands` and `client_source`. `--hparams network=fc_densenet_2d` takes
the other network (slower).
"""

import functools
import os

import keras
import tensorflow as tf
from tiled_client import TiledClient

from DataProvider_input_pipeline import FileListProcessor_Semantic_Segmentation, extractFilenames, read_image
from model_zoo.losses.lovasz import lovasz_softmax_loss

client_source = "datasamples/texture_mosaics/large/raw"  # a folder, an image, a video file, or a webcam's index such as 0
client_labels = "datasamples/texture_mosaics/large/labels"  # files of the same names; "": the truth is not known
client_most_frames = 200  # of a video or webcam

session_name = "textures"
workingFolder = "experiments/textures"
hparams = {"network": "unet_2d", "filters": 8, "depth": 3, "dropout": 0.2, "learningRate": 0.004, "lovasz_weight": 0.5}
model_file = f"../../model_zoo/{hparams['network']}.py"

classes = {"brick": (213, 94, 0), "grass": (0, 158, 115), "gravel": (240, 228, 66), "stars": (0, 114, 178),
           "tissue": (204, 121, 167)}  # their red, green, blue in pictures
n_outputs = len(classes)
num_bands = 1
patch_pixels = 128

raw_data_dir_train = "datasamples/texture_mosaics/train"
raw_data_dir_val = "datasamples/texture_mosaics/val"
raw_data_filename_extension = "*.png"
batch_size = 8
nbEpoch = 30

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 7
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.98
earlystopping_metric = "mean_iou"
earlystopping_mode = "max"
early_stopping_patience = 12

serving_client_timeout_int_secs = 20  # a request has up to 8 tiles
served_head = "classes"
input_data_name = "image"


def data_preprocess(features, model_placement):
    """Brings the grey values 0 … 255 to −1 … 1."""
    with tf.device(model_placement):
        return features / 127.5 - 1.0


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels):
    logits = model_outputs_dict["logits"]
    cross_entropy = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return cross_entropy + hparams["lovasz_weight"] * lovasz_softmax_loss(labels, logits)


def get_eval_metric_ops(model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)
    return {"mean_iou": (functools.partial(keras.metrics.MeanIoU, num_classes=n_outputs), labels, predicted),
            "accuracy": tf.reduce_mean(tf.cast(predicted == labels, tf.float32))}


def get_validation_summaries(inputs, model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)
    return {"images": inputs, "truth": in_colours(labels), "prediction": in_colours(predicted)}


def in_colours(label_maps):
    return tf.gather(tf.constant(list(classes.values()), tf.float32) / 255.0, label_maps)


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    """Random crops in training, in evaluation a grid of crops that covers each image."""
    return FileListProcessor_Semantic_Segmentation(
        extractFilenames(os.path.join(raw_data_files_folder, "raw"), raw_data_filename_extension),
        extractFilenames(os.path.join(raw_data_files_folder, "labels"), raw_data_filename_extension),
        batch_size=batch_size, shuffle_samples=shuffle_batches, patch_ratio_vs_input=patch_pixels, max_patches_per_image=16,
        image_area_coverage_factor=4.0, classes_entropy_threshold=0.0 if shuffle_batches else None,
        apply_random_flip_left_right=True, apply_random_flip_up_down=True, apply_random_brightness=0.1,
        apply_random_contrast=0.2, cache=True)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, None, None, num_bands], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"classes": tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32),
            "probabilities": tf.nn.softmax(model_outputs_dict["logits"])}


def true_labels(image_file):
    """The label map of the same name, integers `[height, width]`, or None."""
    file = os.path.join(client_labels, image_file.name)
    return read_image(file, palette="indices")[..., 0] if client_labels and os.path.isfile(file) else None


class Client_IO(TiledClient):
    """Predicts the large mosaic by tiles, writes it beside the truth, and prints the score."""

    def __init__(self, clientInitSpecs, debugMode):
        super().__init__(clientInitSpecs["model_dir"], source=client_source, truth_of=true_labels, class_names=list(classes),
                         colours=list(classes.values()), num_bands=num_bands, tile=2 * patch_pixels,
                         field_of_view=patch_pixels // 2, most_frames=client_most_frames, debug=debugMode)
