import keras
import line_data
import numpy as np
import tensorflow as tf

session_name = "line"
workingFolder = "experiments"
model_file = "model.py"
hparams = {"hiddenNeurons": 8, "learningRate": 0.05, "slope": 2.0, "addNoise": False, "label": "a"}
n_outputs = 1
raw_data_dir_train = "train"
raw_data_dir_val = "val"
batch_size = 16
nbEpoch = 2
steps_per_execution = 1
initial_learning_rate = hparams["learningRate"]
weights_moving_average_decay = 0.9
projector_num_samples = 0
validation_sets = {"far": "far"}
baseline = True
export_keep_versions = 1
served_head = "prediction"
input_data_name = "x"
tensorflow_server_port = 0
wait_for_server_ready_int_secs = 30
slope = hparams["slope"]


def data_preprocess(features):
    return features * 0.5


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def get_total_loss(predictions, labels):
    return tf.reduce_mean(tf.square(predictions - labels))


def get_eval_metric_ops(predictions, labels):
    return {"mae": tf.reduce_mean(tf.abs(predictions - labels)),
            "rmse": (keras.metrics.RootMeanSquaredError, labels, predictions)}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    x, y = line_data.samples(raw_data_files_folder, slope=slope)
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)


def get_input_pipeline_serving():
    return tf.TensorSpec([None, 3], tf.float32)


class Client_IO:
    def __init__(self, clientInitSpecs, debugMode):
        self.answers = []

    def getInputData(self, idx):
        if idx > 3:
            raise StopIteration
        return np.full([1, 3], idx, np.float32)

    def decodeResponse(self, result):
        self.answers.append(result.outputs["prediction"].float_val[0])

    def finalize(self):
        print("answers", [round(answer, 3) for answer in self.answers])
