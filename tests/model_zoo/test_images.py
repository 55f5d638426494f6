"""The segmentation networks of the zoo: sizes, parameters, learning and exports."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman.export import publisher
from expman.export.served_model import ServedModel
from model_zoo import fc_densenet_2d, unet_2d, unet_3d
from model_zoo.layers.cropping import CropToSizeOf
from model_zoo.losses.lovasz import lovasz_softmax_loss
from tests.support.model_zoo_checks import (
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)

NUM_CLASSES = 3
# Model file, small hparams, size of the code, an even and an odd size of the input.
SMALL = {
    "fc_densenet_2d": (fc_densenet_2d, {"growth_rate": 3, "filters": 6, "depth": 1}, 12, (8, 32), (13, 7)),
    "unet_2d": (unet_2d, {"filters": 4, "depth": 3}, 32, (8, 32), (13, 7)),
    "unet_3d": (unet_3d, {"filters": 2, "depth": 2}, 16, (4, 4, 32), (3, 9, 5)),
}
ALL = pytest.mark.parametrize("name", SMALL)


def small(name, size=None, mode="train"):
    """The small network of a model file, for 2 channels; for inputs of any size unless told."""
    module, hparams, _, even, _ = SMALL[name]
    return build(module.model, [*(size or [None] * len(even)), 2], NUM_CLASSES, hparams, mode=mode)


def images(size, seed=0):
    return np.random.default_rng(seed).normal(size=[2, *size, 2]).astype(np.float32)


def count_all(network):
    """The number of all values, the running means and variances of the normalisations included."""
    return sum(int(np.prod(weight.shape)) for weight in network.weights)


@ALL
def test_the_logits_have_the_size_of_the_input_even_or_odd(name):
    network = small(name)
    _, _, code_size, even, odd = SMALL[name]
    for size in (even, odd, [1] * len(even)):
        assert output_shapes(network, images(size)) == {"code": (2, code_size), "logits": (2, *size, NUM_CLASSES)}


@ALL
def test_a_network_for_any_size_answers_as_one_for_that_size(name):
    of_any_size, odd = small(name), SMALL[name][-1]
    of_one_size = small(name, size=odd)
    of_one_size.set_weights(of_any_size.get_weights())
    assert of_one_size.output["logits"].shape == (None, *odd, NUM_CLASSES)
    for output in ("code", "logits"):
        np.testing.assert_allclose(of_one_size(images(odd))[output], of_any_size(images(odd))[output], rtol=1e-4, atol=1e-5)


@ALL
def test_each_pixel_sees_its_own_value_and_the_far_surroundings(name):
    """Through the uppermost skip connection, and through the lowest level."""
    network = small(name)
    size = SMALL[name][3]
    image = tf.Variable(images(size)[:1])
    pixel = (0, *(axis // 2 for axis in size))
    with tf.GradientTape() as tape:
        answer = tf.reduce_sum(network(image)["logits"][pixel])
    influence = np.abs(tape.gradient(answer, image).numpy()).sum(axis=-1)
    assert influence[pixel] > 0
    reach = 1 + 4 + 4  # pixels that the convolutions of the first level cover by themselves, at most
    far = np.abs(np.arange(size[-1]) - size[-1] // 2) > reach
    assert influence[..., far].any()


@ALL
def test_one_step_lowers_the_loss(name):
    labels = (images(SMALL[name][4])[..., 0] > 0).astype(np.int32)
    keras.utils.set_random_seed(0)

    def loss(outputs):
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs["logits"])
        return tf.reduce_mean(cross_entropy) + lovasz_softmax_loss(labels, outputs["logits"])

    assert_one_step_lowers_the_loss(small(name), images(SMALL[name][4]), loss, learning_rate=3e-3)


@ALL
def test_the_export_answers_as_the_network_for_images_of_several_sizes(name, tmp_path):
    network = small(name, mode="infer")
    _, _, _, even, odd = SMALL[name]
    served = ServedModel(answer=lambda inputs: network(inputs["image"], training=False),
                         inputs_spec={"image": tf.TensorSpec([None, *[None] * len(even), 2], tf.float32)})
    version = publisher.publish(served, base_path=tmp_path, sample={"image": images(even)}, keep_versions=1)
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    for size in (even, odd):
        answered = signature(image=tf.constant(images(size)))
        for output, expected in network(images(size), training=False).items():
            np.testing.assert_allclose(answered[output], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "trainable", "all_values", "papers"), [
    (56, 1_376_795, 1_397_963, None),  # the paper says 1.5 M, which its description does not make
    (67, 3_463_243, 3_502_923, "3.5"),
    (103, 9_322_091, 9_425_163, "9.4"),
])
def test_fc_densenet_has_the_parameters_of_the_paper(layers, trainable, all_values, papers):
    network = build(fc_densenet_2d.model, [None, None, 3], 11, {"layers": layers})
    assert (count_trainable(network), count_all(network)) == (trainable, all_values)
    assert papers in (None, f"{all_values / 1e6:.1f}")
    weighted = [layer for layer in network.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))]
    assert len(weighted) == layers
    if layers == 56:
        assert output_shapes(network, np.zeros([1, 37, 41, 3], np.float32))["logits"] == (1, 37, 41, 11)
    if layers == 103:  # the column m of table 2 of the paper, downwards and upwards; there 578 for the middle
        stacks = [network.get_layer(f"down_{level}_stack").output.shape[-1] for level in range(5)]
        assert stacks == [112, 192, 304, 464, 656]
        upwards = [network.get_layer(f"transition_up_{level}_skip").output.shape[-1] + 16 * added
                   for level, added in ((4, 12), (3, 10), (2, 7), (1, 5), (0, 4))]
        assert upwards == [1088, 816, 576, 384, 256]
        assert network.get_layer("last_stack").output.shape[-1] == 256


def test_unet_2d_has_the_parameters_of_the_papers_figure():
    network = build(unet_2d.model, [None, None, 1], 2)
    widths = [64, 128, 256, 512, 1024]
    down = sum(9 * (before * after + after * after) + 2 * after for before, after in zip([1, *widths], widths))
    up = sum(4 * 2 * width * width + 9 * (2 * width * width + width * width) + 2 * width for width in widths[:-1])
    assert count_trainable(network) == down + up + 64 * 2 + 2 == 31_029_698
    assert network.output["code"].shape == (None, 1024)


def test_unet_3d_has_exactly_the_parameters_of_the_paper():
    assert count_trainable(build(unet_3d.model, [None, None, None, 3], 3)) == 19_069_955


def test_crop_keeps_the_beginning_of_each_axis():
    features, reference = np.random.default_rng(0).normal(size=[1, 4, 6, 2]), np.zeros([1, 3, 5, 7])
    np.testing.assert_array_equal(CropToSizeOf(dtype="float64")([features, reference]), features[:, :3, :5])


@pytest.mark.parametrize(("name", "shape", "n_outputs", "hparams", "message"), [
    ("unet_2d", [8, 8, 8, 1], 2, {}, "data must have 2 axes of space"),
    ("unet_3d", [8, 8, 1], 2, {}, "data must have 3 axes of space"),
    ("fc_densenet_2d", [8, 8], 2, {}, "data must be .batch, height, width, channels"),
    ("fc_densenet_2d", [8, 8, 1], 2, {"layers": 57}, "hparams\\['layers'\\] must be one of 56, 67, 103. Got 57"),
    ("fc_densenet_2d", [8, 8, 1], 2, {"depth": 6}, "hparams\\['depth'\\] must be at most 5. Got 6"),
    ("unet_2d", [8, 8, 1], 2, {"depth": 0}, "hparams\\['depth'\\] must be an int of at least 1. Got 0"),
    ("unet_3d", [8, 8, 8, 1], 2, {"dropout": 1.0}, "hparams\\['dropout'\\] must be a number at least 0.* below 1"),
    ("unet_2d", [8, 8, 1], None, {}, "n_outputs, the number of classes"),
    ("fc_densenet_2d", [8, 8, 1], 0, {}, "n_outputs, the number of classes"),
])
def test_bad_arguments_are_named(name, shape, n_outputs, hparams, message):
    with pytest.raises(ValueError, match=message):
        build(SMALL[name][0].model, shape, n_outputs, hparams)
