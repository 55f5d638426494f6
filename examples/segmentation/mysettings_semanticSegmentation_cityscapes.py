"""Street scenes: the 19 classes of Cityscapes, found pixel by pixel by an FC-DenseNet. For those who have the data.

Data: M. Cordts et al., CVPR 2016, https://www.cityscapes-dataset.com (registration; no commercial use): leftImg8bit_trainvaltest.zip and
gtFine_trainvaltest.zip, unpacked into one folder, which the environment variable CITYSCAPES_DATASET names:
    leftImg8bit/{train,val}/CITY/*_leftImg8bit.png        2,975 and 500 images, 2048 × 1024, red, green, blue
    gtFine/{train,val}/CITY/*_gtFine_labelIds.png         their label ids, 0 … 33
Method: FC-DenseNet, Jégou et al. 2017, with cross-entropy and Lovász-softmax, Berman et al. 2018 (see model_zoo).
Command: CITYSCAPES_DATASET=FOLDER python experiments_manager.py --check --usersettings \
         examples/segmentation/mysettings_semanticSegmentation_cityscapes.py     then without --check, on a GPU
Time and score: not measured here, as the data may not be passed on: the tests train on a tiny tree of the same layout. The plain
baseline, road everywhere, gets an IoU of 0 in all classes but one.
"""

import functools
import os

import keras
import tensorflow as tf
from cityscapes_labels import CLASSES, VOID, label_file_of, train_ids
from tiled_client import TiledClient

from DataProvider_input_pipeline import FileListProcessor_Semantic_Segmentation, extractFilenames, read_image
from model_zoo.losses.lovasz import lovasz_softmax_loss

cityscapes = os.environ.get("CITYSCAPES_DATASET", "cityscapes")
client_source = f"{cityscapes}/leftImg8bit/val/frankfurt"  # a folder, an image, a video file, or a webcam's index such as 0
client_most_frames = 200  # of a video or webcam

session_name = "cityscapes"
workingFolder = "experiments/cityscapes"
model_file = "../../model_zoo/fc_densenet_2d.py"
hparams = {"layers": 56, "depth": 5, "filters": 48, "growth_rate": 12, "dropout": 0.2, "patch": 256, "learningRate": 0.001,
           "lovasz_weight": 0.5}  # for 67 or 103 layers growth_rate is 16

n_outputs = len(CLASSES)
num_bands = 3

raw_data_dir_train = f"{cityscapes}/leftImg8bit/train"
raw_data_dir_val = f"{cityscapes}/leftImg8bit/val"
raw_data_filename_extension = "*_leftImg8bit.png"
batch_size = 4
nbEpoch = 100
used_gpu_IDs = []  # [0]: the first one

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 20
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.999
earlystopping_metric = "mean_iou"
earlystopping_mode = "max"
early_stopping_patience = 20

serving_client_timeout_int_secs = 60  # a request has up to 8 tiles
served_head = "classes"
input_data_name = "image"


def data_preprocess(features, model_placement):
    """Brings 0 … 255 to −1 … 1."""
    with tf.device(model_placement):
        return features / 127.5 - 1.0


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(model_outputs_dict, labels):
    logits = model_outputs_dict["logits"]
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID)
    return cross_entropy(labels, logits) + hparams["lovasz_weight"] * lovasz_softmax_loss(labels, logits, void_label=VOID)


def get_eval_metric_ops(model_outputs_dict, labels):
    predicted = tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)
    mean_iou = functools.partial(keras.metrics.MeanIoU, num_classes=n_outputs, ignore_class=VOID)
    return {"mean_iou": (mean_iou, labels, predicted)}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    """Random crops in training, in evaluation a grid of crops that covers each image; label ids become ids for training."""
    images = extractFilenames(raw_data_files_folder, raw_data_filename_extension)
    return FileListProcessor_Semantic_Segmentation(
        images, list(map(label_file_of, images)), batch_size=batch_size, shuffle_samples=shuffle_batches,
        patch_ratio_vs_input=hparams["patch"], max_patches_per_image=4, apply_random_flip_left_right=True,
        apply_random_brightness=0.1, apply_random_contrast=0.2, apply_random_saturation=0.2,
        crops_postprocess=lambda raw, labels: (raw, tf.gather(train_ids(), labels)))


def get_input_pipeline_serving():
    return tf.TensorSpec([None, None, None, num_bands], tf.float32)


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    return {"classes": tf.argmax(model_outputs_dict["logits"], axis=-1, output_type=tf.int32)}


def true_labels(image_file):
    """The ids for training of an image of the data set, integers `[height, width]`; None for other images."""
    try:
        file = label_file_of(image_file)
    except ValueError:
        return None
    return train_ids()[read_image(file, palette="indices")[..., 0]] if os.path.isfile(file) else None


class Client_IO(TiledClient):
    """Predicts images by tiles, writes them beside the truth, where there is one, and prints the score."""

    def __init__(self, clientInitSpecs, debugMode):
        super().__init__(clientInitSpecs["model_dir"], source=client_source, truth_of=true_labels, class_names=list(CLASSES),
                         colours=[colour for _, colour in CLASSES.values()], num_bands=num_bands, tile=2 * hparams["patch"],
                         field_of_view=hparams["patch"] // 2, most_frames=client_most_frames, debug=debugMode)
