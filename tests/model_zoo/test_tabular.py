"""Wide-and-deep models: columns by kind, crossed columns, the sum of both parts against NumPy, learning, export."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_zoo import table_network
from model_zoo import wide_and_deep_classifier as classifier
from model_zoo import wide_and_deep_regressor as regressor
from tests.support.model_zoo_checks import (
    assert_export_and_reload_answer_equally,
    assert_one_step_lowers_the_loss,
    build,
    count_trainable,
    output_shapes,
)


def column(dtype: tf.DType, *shape: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape], dtype)


# A number without a dimension of its own, two numbers, integers from 0 to 3, text, one-hot.
COLUMNS = {"age": column(tf.float32), "position": column(tf.float32, 2), "region": column(tf.int64, 1),
           "job": column(tf.string), "colour": column(tf.float32, 3)}
HPARAMS = {"categories_region": 4, "hash_buckets": 6, "embedding_size": 2, "hiddenNeurons": 5,
           "crosses": "region*job,colour * region"}


def table(rows: int = 12) -> dict[str, tf.Tensor]:
    generator = np.random.default_rng(0)
    return {"age": tf.constant(generator.normal(size=rows), tf.float32),
            "position": tf.constant(generator.normal(size=[rows, 2]), tf.float32),
            "region": tf.constant(generator.integers(-1, 6, size=[rows, 1])),  # −1, 4 and 5 are unknown
            "job": tf.constant(generator.choice(["baker", "clerk", "miner", ""], rows)),
            "colour": tf.one_hot(generator.integers(0, 3, rows), 3)}


def randomise(network: keras.Model) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    for weight in network.trainable_weights:
        weight.assign(generator.normal(0, 0.5, weight.shape))
    return {weight.path: weight.numpy() for weight in network.weights}


def both_parts_in_numpy(weights: dict[str, np.ndarray], rows: dict[str, tf.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """The output before any softmax, and the last hidden layer."""
    values = {name: tensor.numpy() for name, tensor in rows.items()}
    numbers = np.column_stack([values["age"], values["position"], values["colour"]])
    region = np.array([id if 0 <= id < 4 else 4 for id in values["region"][:, 0]])
    job = tf.strings.to_hash_bucket_fast(rows["job"], 6).numpy()
    colour = values["colour"].argmax(axis=1)
    wide = (numbers @ weights["wide/kernel"] + weights["wide_region/embeddings"][region] + weights["wide_job/embeddings"][job]
            + weights["wide_region_x_job/embeddings"][region * 6 + job]
            + weights["wide_colour_x_region/embeddings"][colour * 5 + region])
    hidden = np.column_stack([numbers, weights["deep_region/embeddings"][region], weights["deep_job/embeddings"][job]])
    for layer in (1, 2):
        hidden = np.maximum(hidden @ weights[f"deep_hidden_{layer}/kernel"] + weights[f"deep_hidden_{layer}/bias"], 0)
    return wide + hidden @ weights["deep/kernel"] + weights["bias/bias"], hidden


def test_the_classifier_equals_numpy():
    network = build(classifier.model, COLUMNS, 3, HPARAMS)
    expected, hidden = both_parts_in_numpy(randomise(network), table())
    outputs = network(table())
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["code"], hidden, rtol=1e-4, atol=1e-5)
    exponentials = np.exp(expected)
    np.testing.assert_allclose(outputs["probabilities"], exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4)


def test_the_regressor_equals_numpy():
    network = build(regressor.model, COLUMNS, 2, HPARAMS)
    expected, _ = both_parts_in_numpy(randomise(network), table())
    np.testing.assert_allclose(network(table())["prediction"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [4, 9])
def test_one_tensor_of_numbers_is_accepted(width):
    data = np.random.default_rng(0).normal(size=[6, width]).astype(np.float32)
    assert output_shapes(build(classifier.model, [width], 3, {}), data) == {
        "code": (6, 64), "logits": (6, 3), "probabilities": (6, 3)}
    assert output_shapes(build(regressor.model, [width], 1, {"hiddenNeurons": 7}), data) == {
        "code": (6, 7), "prediction": (6, 1)}


@pytest.mark.parametrize(("parts", "expected"), [
    # 6 numbers, categories 5 + 6, crosses 30 + 15, 3 outputs; deep inputs 6 + 2 · 2, hidden layers of 5
    ("wide_and_deep", (6 + 11 + 45) * 3 + 2 * 11 + 11 * 5 + 6 * 5 + 5 * 3 + 3), ("wide", (6 + 11 + 45) * 3 + 3),
    ("deep", 2 * 11 + 11 * 5 + 6 * 5 + 5 * 3 + 3)])
def test_the_parameters_are_those_of_the_formula(parts, expected):
    hparams = HPARAMS | {"parts": parts} | ({"crosses": ""} if parts == "deep" else {})
    network = build(classifier.model, COLUMNS, 3, hparams)
    assert count_trainable(network) == expected
    assert ("code" in network.output) == (parts != "wide")


def test_integers_without_a_number_of_categories_are_hashed():
    network = build(regressor.model, {"code": column(tf.int32)}, 1, {"hash_buckets": 5, "parts": "wide"})
    weights = randomise(network)
    ids = np.array([-3, 0, 7, 1_000_000], np.int32)
    buckets = tf.strings.to_hash_bucket_fast(tf.strings.as_string(ids), 5).numpy()
    expected = weights["wide_code/embeddings"][buckets] + weights["bias/bias"]
    np.testing.assert_allclose(network({"code": ids})["prediction"], expected, rtol=1e-6)


def train(network: keras.Model, rows: dict[str, np.ndarray], labels: np.ndarray) -> float:
    """The accuracy after training."""
    logits = keras.Model(network.input, network.output["logits"])
    logits.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logits.fit(rows, labels, batch_size=len(labels), epochs=60, verbose=0)
    return float(np.mean(logits(rows).numpy().argmax(axis=1) == labels))


@pytest.mark.slow
def test_a_crossed_column_learns_what_its_columns_alone_cannot():
    first, second = np.random.default_rng(0).integers(0, 2, [2, 400])
    rows, labels = {"first": first, "second": second}, first ^ second
    specs = dict.fromkeys(rows, column(tf.int64))
    hparams = {"parts": "wide", "categories_first": 2, "categories_second": 2}
    assert train(build(classifier.model, specs, 2, hparams), rows, labels) < 0.8
    assert train(build(classifier.model, specs, 2, hparams | {"crosses": "first*second"}), rows, labels) == 1.0


def test_the_penalty_of_the_wide_part_is_a_loss_of_the_network():
    network = build(regressor.model, COLUMNS, 2, HPARAMS | {"wide_l1": 0.3})
    weights = randomise(network)
    expected = 0.3 * sum(np.abs(values).sum() for path, values in weights.items() if path.startswith("wide"))
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("parts", ["wide_and_deep", "wide"])
def test_the_classifier_learns_and_survives_its_export(tmp_path, parts):
    network = build(classifier.model, COLUMNS, 3, HPARAMS | {"parts": parts})
    labels = np.arange(12) % 3
    assert_one_step_lowers_the_loss(network, table(), lambda outputs: tf.reduce_mean(
        keras.losses.sparse_categorical_crossentropy(labels, outputs["logits"], from_logits=True)))
    randomise(network)
    assert_export_and_reload_answer_equally(network, table(), tmp_path)


def test_the_regressor_learns_and_survives_its_export(tmp_path):
    network = build(regressor.model, COLUMNS, 1, HPARAMS | {"dropout": 0.2})
    assert_one_step_lowers_the_loss(network, table(), lambda outputs: tf.reduce_mean((outputs["prediction"] - 3) ** 2))
    assert_export_and_reload_answer_equally(network, table(), tmp_path)


@pytest.mark.parametrize(("changed", "message"), [
    ({"crosses": "region"}, "must hold pairs such as"),
    ({"crosses": "region*town"}, "names 'town', which is no column. The columns are: age"),
    ({"crosses": "region*age"}, "names 'age', which is a number. Cut it into buckets"),
    ({"crosses": 3}, r"hparams\['crosses'\] must be a str"),
    ({"parts": "both"}, "must be one of 'wide_and_deep', 'wide', 'deep'"),
    ({"parts": "deep"}, "belongs to the wide part"),
    ({"categories_town": 3}, r"hparams\['categories_town'\] names no column of integers"),
    ({"categories_job": 3}, r"hparams\['categories_job'\] names no column of integers. The columns are: age"),
    ({"categories_region": 0}, "must be an int of at least 1. Got 0"),
    ({"hash_buckets": 500_000}, "region.job has 2500000 combinations; at most 1048576")])
def test_bad_hyperparameters_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        build(classifier.model, COLUMNS, 3, HPARAMS | changed)


@pytest.mark.parametrize(("spec", "message"), [
    (column(tf.int32, 2), r"Column 'x' must be \[batch\] or \[batch, 1\]. Got int32 of shape \(None, 2\)"),
    (column(tf.float32, 2, 2), r"Column 'x' must be \[batch\] or \[batch, width\]"),
    (column(tf.float32, None), "Column 'x' must be")])
def test_columns_of_other_shapes_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        build(classifier.model, {"x": spec}, 3, {})


def test_a_classifier_needs_two_classes():
    with pytest.raises(ValueError, match="n_outputs, the number of classes, must be an int of at least 2. Got 1"):
        build(classifier.model, [4], 1, {})


def test_the_table_network_equals_numpy_and_has_the_parameters_of_its_formula():
    columns = {"values": column(tf.float32, 3), "category_city": column(tf.float32, 30), "category_job": column(tf.float32, 4)}
    network = build(table_network.model, columns, 2, {"hiddenNeurons": 5, "hiddenLayers": 2, "embeddingSize": 6})
    width = 3 + 6 + 4
    assert count_trainable(network) == 30 * 6 + 4 * 4 + (width + 1) * 5 + (5 + 1) * 5 + (5 + 1) * 2 + width * 2
    weights = randomise(network)
    generator = np.random.default_rng(2)
    rows = {"values": generator.normal(size=[7, 3]), "category_city": np.eye(30)[generator.integers(0, 30, 7)],
            "category_job": np.eye(4)[generator.integers(0, 4, 7)]}
    rows["category_city"][0] = 0  # unknown
    joined = np.hstack([rows["values"], *(rows[name] @ weights[f"embedded_{name}/kernel"] for name in columns if name != "values")])
    hidden = joined
    for layer in (1, 2):
        hidden = np.maximum(hidden @ weights[f"hidden_{layer}/kernel"] + weights[f"hidden_{layer}/bias"], 0)
    expected = hidden @ weights["deep/kernel"] + weights["deep/bias"] + joined @ weights["linear/kernel"]
    outputs = network({name: tf.constant(values, tf.float32) for name, values in rows.items()})
    np.testing.assert_allclose(outputs["prediction"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["code"], hidden, rtol=1e-4, atol=1e-5)


def test_the_table_network_has_4939_parameters_for_the_cars():
    assert count_trainable(build(table_network.model, [10], 1)) == 4939
