"""New handwritten digits: a generator and a critic learn from each other what digits look like (a GAN).

Data: 1,797 images by 43 writers, E. Alpaydin and C. Kaynak, 1998, UCI repository (CC BY 4.0), shipped with scikit-learn.
Method: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, with one update of each network a step, at two rates,
as Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017.
Command: python experiments_manager.py --usersettings examples/generative/mysettings_gan_digits.py
Time: 33 seconds of processor time; 2 minutes on two cores that were busy otherwise, too.
Scores: of the generated images, 60 % are a clear digit, one for which a logistic regression trained on real ones gives a
probability above 0.8 (real ones: 83 %; the variational autoencoder: 56 %; images drawn from a Gaussian of the six principal
components: 20 %; pixels drawn one by one: 11 %), and all ten digits are among them, the rarest with 5 % of the clear ones.
Energy distance to the held-out fifth: 0.015 (as many real images: 0.013; Gaussian of the six principal components: 0.134).
"""

import itertools
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
from model_zoo.losses.wasserstein import critic_loss, energy_distance, gradient_penalty
from model_zoo.wasserstein_gan import CRITIC, GENERATOR

session_name = "gan_digits"
workingFolder = "experiments/gan_digits"
model_file = "../../model_zoo/wasserstein_gan.py"
hparams = {"latentSize": 16, "hiddenNeurons": 128, "learningRate": 0.0005, "criticRateFactor": 4.0, "penaltyWeight": 1.0}

reference_labels = ["digit"]

raw_data_dir_train = ""  # the images come with scikit-learn
raw_data_dir_val = ""
batch_size = 64
nbEpoch = 25  # of 18 passes each, see get_input_pipeline_train_val

initial_learning_rate = hparams["learningRate"]
weights_moving_average_decay = 0.998

served_head = "generated"

IMAGE_SHAPE = (8, 8, 1)
LATENT_SIZE = hparams["latentSize"]
PASSES_PER_EPOCH = 18


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
    """An optimizer for each network, by its name; the critic learns faster."""
    return {GENERATOR: keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.9),
            CRITIC: keras.optimizers.Adam(hparams["criticRateFactor"] * learning_rate, beta_1=0.5, beta_2=0.9)}


def train_step(model, data, optimizers):
    """One update of each network. Curves: the critic's estimate of the Wasserstein distance, and its penalty."""
    inputs, _ = data
    weights = {name: model.get_layer(name).trainable_variables for name in optimizers}
    with tf.GradientTape(persistent=True) as tape:
        with tf.GradientTape() as inner:
            outputs = model(inputs, training=True)
        slopes = inner.gradient(outputs["interpolated_score"], outputs["interpolated"])
        distance, penalty = -critic_loss(outputs["image_score"], outputs["generated_score"]), gradient_penalty(slopes)
        losses = {CRITIC: hparams["penaltyWeight"] * penalty - distance,
                  GENERATOR: -tf.reduce_mean(outputs["generated_score"])}
    for name, optimizer in optimizers.items():
        optimizer.apply_gradients(zip(tape.gradient(losses[name], weights[name]), weights[name]))
    return {"loss": energy_distance(inputs["image"], outputs["generated"]), "wasserstein_distance": distance,
            "penalty": penalty}


def get_total_loss(inputs, model_outputs_dict):
    """How far the generated images are from real ones: needs no critic, so that it tells which epoch is the best."""
    return energy_distance(inputs["image"], model_outputs_dict["generated"])


def get_eval_metric_ops(model_outputs_dict):
    return {"wasserstein_distance": -critic_loss(model_outputs_dict["image_score"], model_outputs_dict["generated_score"])}


def get_validation_summaries(inputs, model_outputs_dict):
    return {"digits": inputs["image"], "generated": model_outputs_dict["generated"]}


def get_input_pipeline_train_val(batch_size, raw_data_files_folder, shuffle_batches):
    """Features: images, and the standard normal numbers that the generator makes images of; labels: digits, for reports only.

    The validation data are one batch, since the distance between two sets is the better known the larger they are.
    """
    images, digits = load_part(is_training=shuffle_batches)
    if not shuffle_batches:
        latent = np.random.default_rng(0).normal(size=[len(images), LATENT_SIZE]).astype(np.float32)
        return tf.data.Dataset.from_tensor_slices(({"image": images, "latent": latent}, digits)).batch(len(images))

    def with_latent(batch, seed):
        image, digit = batch
        latent = tf.random.stateless_normal([tf.shape(image)[0], LATENT_SIZE], seed=tf.stack([seed, 0]))
        return {"image": image, "latent": latent}, digit

    # One pass is so short that evaluations and exports would take the time. New seeds in each epoch draw new numbers.
    dataset = tf.data.Dataset.from_tensor_slices((images, digits)).repeat(PASSES_PER_EPOCH).shuffle(4 * len(images))
    return with_seeds(dataset.batch(batch_size)).map(with_latent)


def get_input_pipeline_serving():
    return {"image": tf.TensorSpec([None, *IMAGE_SHAPE], tf.float32), "latent": tf.TensorSpec([None, LATENT_SIZE], tf.float32)}


class Client_IO:
    """Sends points to have images made of them; prints the scores, and draws the images and walks between some of them."""

    NUM_SAMPLES = 1000
    NUM_ROWS, NUM_COLUMNS = 10, 10  # of the samples that are drawn, and of the walks

    def __init__(self, clientInitSpecs, debugMode):
        self.picture = os.path.join(clientInitSpecs["model_dir"], "generated_digits.png")
        self.debug = debugMode
        self.points = np.random.default_rng(0).normal(size=[self.NUM_SAMPLES, LATENT_SIZE])
        self.generated = []  # of the random points, then of the walks; each float32 [n, 8, 8] in 0 … 1

    def getInputData(self, idx):
        if idx > 2:
            raise StopIteration
        points = self.points if idx == 1 else self.walks()
        return {"image": np.zeros([len(points), *IMAGE_SHAPE], np.float32), "latent": points.astype(np.float32)}

    def walks(self):
        """Points on the straight way from each of the first points to the next, `[rows · columns, latent size]`."""
        first = self.points[:self.NUM_ROWS + 1]
        return np.concatenate([np.linspace(start, end, self.NUM_COLUMNS) for start, end in itertools.pairwise(first)])

    def decodeResponse(self, result):
        self.generated.append(to_numpy(result.outputs["generated"]).reshape(-1, *IMAGE_SHAPE[:2]))

    def finalize(self):
        if len(self.generated) < 2:
            return
        images, digits = load_part(is_training=True)
        judge = LogisticRegression(max_iter=2000).fit(images.reshape(len(images), -1) / 16, digits)
        probabilities = judge.predict_proba(self.generated[0].reshape(self.NUM_SAMPLES, -1))
        is_clear = probabilities.max(axis=1) > 0.8
        counts = np.bincount(probabilities.argmax(axis=1)[is_clear], minlength=10)
        print(f"clear digits: {np.mean(is_clear):.1%} of {self.NUM_SAMPLES} generated images")
        print(f"rarest digit: {counts.min() / max(counts.sum(), 1):.1%} of the clear ones")
        if self.debug:
            print("clear images of each digit:", dict(enumerate(counts.tolist())))
        self.draw()
        print(f"picture: {self.picture}")

    def draw(self):
        matplotlib.use("Agg")  # into a file; a server may have no screen
        import matplotlib.pyplot as plt
        figure, axes = plt.subplots(1, 2, figsize=(11, 6))
        num_drawn = self.NUM_ROWS * self.NUM_COLUMNS
        titles = ("Images of random points", "Walks from each point to the next one")
        for axis, images, title in zip(axes, self.generated, titles):
            tiles = np.pad(images[:num_drawn], ((0, 0), (1, 1), (1, 1))).reshape(self.NUM_ROWS, self.NUM_COLUMNS, 10, 10)
            axis.imshow(tiles.swapaxes(1, 2).reshape(10 * self.NUM_ROWS, 10 * self.NUM_COLUMNS), cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(title)
            axis.axis("off")
        figure.tight_layout()
        figure.savefig(self.picture, dpi=100)
        plt.close(figure)
