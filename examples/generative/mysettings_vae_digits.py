"""New handwritten digits: a variational autoencoder learns six numbers that describe a digit, and draws digits from numbers.

Data: 1,797 images by 43 writers, E. Alpaydin and C. Kaynak, 1998, UCI repository (CC BY 4.0), shipped with scikit-learn.
Method: Kingma, Welling, "Auto-Encoding Variational Bayes", 2014.
Command: python experiments_manager.py --usersettings examples/generative/mysettings_vae_digits.py
Time: about 50 seconds on two cores. Scores on the held-out fifth, grey values 0 … 1: root mean squared error of the reconstruction
0.124 (principal component analysis with six numbers, too: 0.174). Of the generated images, 56 % are a clear digit, one for which
a logistic regression trained on real ones gives a probability above 0.8 (real ones: 83 %; images drawn from a Gaussian of the six
principal components: 20 %; pixels drawn one by one: 5 %).
"""

import os

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from DataProvider_input_pipeline import with_seeds
from expman.client import to_numpy
from model_zoo.losses.evidence_lower_bound import bernoulli_negative_log_likelihood, divergence_from_standard_normal

session_name = "vae_digits"
workingFolder = "experiments/vae_digits"
model_file = "../../model_zoo/variational_autoencoder.py"
# likelihoodWeight: with 1, the loss is the evidence lower bound; with more, images are clearer and codes less like a Gaussian.
hparams = {"latentSize": 6, "likelihoodWeight": 4.0, "filters": 32, "hiddenNeurons": 256, "learningRate": 0.003}

reference_labels = ["digit"]

raw_data_dir_train = ""  # the images come with scikit-learn
raw_data_dir_val = ""
batch_size = 64
nbEpoch = 25  # of four passes each, see get_input_pipeline_train_val

initial_learning_rate = hparams["learningRate"]
num_epochs_per_decay = 6
learning_rate_decay_factor = 0.5
weights_moving_average_decay = 0.99
early_stopping_patience = 10

served_head = "answer"

IMAGE_SHAPE = (8, 8, 1)
LATENT_SIZE = hparams["latentSize"]


def load_part(is_training):
    """Images float32 `[n, 8, 8, 1]` in 0 … 16 and digits int64 `[n]` of the four fifths for training, or of the rest."""
    digits = load_digits()
    parts = train_test_split(digits.images[..., None].astype(np.float32), digits.target, test_size=0.2,
                             stratify=digits.target, random_state=0)
    return (parts[0], parts[2]) if is_training else (parts[1], parts[3])


def data_preprocess(features):
    """Brings the grey values 0 … 16 to 0 … 1."""
    return features | {"image": features["image"] / 16.0}


def getOptimizer(learning_rate):
    return keras.optimizers.Adam(learning_rate)


def likelihood_and_divergence(inputs, outputs):
    """The two parts of the negative evidence lower bound of each image, in nats."""
    return (bernoulli_negative_log_likelihood(inputs["image"], outputs["reconstruction"]),
            divergence_from_standard_normal(outputs["code"], outputs["code_log_variance"]))


def get_total_loss(inputs, model_outputs_dict):
    likelihood, divergence = likelihood_and_divergence(inputs, model_outputs_dict)
    return tf.reduce_mean(hparams["likelihoodWeight"] * likelihood + divergence)


def get_eval_metric_ops(inputs, model_outputs_dict):
    likelihood, divergence = likelihood_and_divergence(inputs, model_outputs_dict)
    return {"negative_evidence_lower_bound": tf.reduce_mean(likelihood + divergence), "divergence": tf.reduce_mean(divergence)}


def get_validation_summaries(inputs, model_outputs_dict):
    return {"digits": inputs["image"], "reconstructions": tf.sigmoid(model_outputs_dict["reconstruction"])}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    """Features: images, and the standard normal numbers that the network adds to their codes; labels: digits, for reports only."""
    images, digits = load_part(is_training=shuffle_batches)
    if not shuffle_batches:
        latent = np.random.default_rng(0).normal(size=[len(images), LATENT_SIZE]).astype(np.float32)
        return tf.data.Dataset.from_tensor_slices(({"image": images, "latent": latent}, digits)).batch(batch_size)

    def with_latent(batch, seed):
        image, digit = batch
        latent = tf.random.stateless_normal([tf.shape(image)[0], LATENT_SIZE], seed=tf.stack([seed, 0]))
        return {"image": image, "latent": latent}, digit

    # One pass is so short that evaluations and exports would take the time. New seeds in each epoch draw new numbers.
    dataset = tf.data.Dataset.from_tensor_slices((images, digits)).repeat(4).shuffle(4 * len(images))
    return with_seeds(dataset.batch(batch_size)).map(with_latent)


def get_input_pipeline_serving():
    return {"image": tf.TensorSpec([None, *IMAGE_SHAPE], tf.float32), "latent": tf.TensorSpec([None, LATENT_SIZE], tf.float32)}


def model_outputs_postprocessing_for_serving(model_outputs_dict):
    """The heads, with grey values 0 … 1, and `answer`: all in one row an image, since a request asks for one head."""
    code = model_outputs_dict["code"]
    images = {name: tf.sigmoid(model_outputs_dict[name]) for name in ("reconstruction", "generated")}
    rows = [tf.reshape(image, [-1, int(np.prod(IMAGE_SHAPE))]) for image in images.values()]
    return {"code": code, **images, "answer": tf.concat([code, *rows], axis=1)}


class Client_IO:
    """Sends real digits to have them encoded, then points to have them decoded; prints the scores and draws the images.

    To encode, the latent points are zeros; to decode, the images are.
    """

    NUM_SAMPLES = 1000
    NUM_ROWS, NUM_COLUMNS = 10, 10  # of the samples that are drawn, and of the walks

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "generated_digits.png")
        self.debug = debugMode
        self.images, self.digits = load_part(is_training=False)
        self.codes = None
        self.decoded = []  # the random points, then the walks; each float32 [n, 8, 8] in 0 … 1

    def getInputData(self, idx):
        if idx == 1:
            return {"image": self.images, "latent": np.zeros([len(self.images), LATENT_SIZE], np.float32)}
        if idx > 3:
            raise StopIteration
        points = np.random.default_rng(0).normal(size=[self.NUM_SAMPLES, LATENT_SIZE]) if idx == 2 else self.walks()
        return {"image": np.zeros([len(points), *IMAGE_SHAPE], np.float32), "latent": points.astype(np.float32)}

    def walks(self):
        """Points on the straight way from the code of each digit to that of the next one, `[rows · columns, latent size]`."""
        first = [self.codes[np.flatnonzero(self.digits == digit)[0]] for digit in range(self.NUM_ROWS)]
        return np.concatenate([np.linspace(start, end, self.NUM_COLUMNS) for start, end in zip(first, first[1:] + first[:1])])

    def decodeResponse(self, result):
        num_pixels = int(np.prod(IMAGE_SHAPE))
        codes, reconstructed, generated = np.split(to_numpy(result.outputs["answer"]), [LATENT_SIZE, LATENT_SIZE + num_pixels],
                                                   axis=1)
        if self.codes is not None:
            self.decoded.append(generated.reshape(-1, *IMAGE_SHAPE[:2]))
            return
        self.codes = codes
        errors = reconstructed - self.images.reshape(-1, num_pixels) / 16
        print(f"root mean squared error of the reconstructions: {np.sqrt(np.mean(errors ** 2)):.4f} ({len(codes)} held-out digits)")
        if self.debug:
            print(f"codes: mean {codes.mean(axis=0).round(2)}, standard deviation {codes.std(axis=0).round(2)}")

    def finalize(self):
        if len(self.decoded) < 2:
            return
        images, digits = load_part(is_training=True)
        judge = LogisticRegression(max_iter=2000).fit(images.reshape(len(images), -1) / 16, digits)
        probabilities = judge.predict_proba(self.decoded[0].reshape(self.NUM_SAMPLES, -1))
        print(f"clear digits: {np.mean(probabilities.max(axis=1) > 0.8):.1%} of {self.NUM_SAMPLES} generated images")
        self.draw()
        print(f"picture: {self.picture}")

    def draw(self):
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        figure, axes = plt.subplots(1, 2, figsize=(11, 6))
        num_drawn = self.NUM_ROWS * self.NUM_COLUMNS
        for axis, images, title in zip(axes, self.decoded, ("Decoded random points", "Walks from each digit to the next one")):
            tiles = np.pad(images[:num_drawn], ((0, 0), (1, 1), (1, 1))).reshape(self.NUM_ROWS, self.NUM_COLUMNS, 10, 10)
            axis.imshow(tiles.swapaxes(1, 2).reshape(10 * self.NUM_ROWS, 10 * self.NUM_COLUMNS), cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(title)
            axis.axis("off")
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
