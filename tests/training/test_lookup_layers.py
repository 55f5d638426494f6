"""Layers that look words up, made inside `model()`, are trained with, exported, served and restarted."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman import experiment_run
from expman.errors import TrainingError
from expman.training.lookup_tables import check_same_tables, table_hashes, table_layers
from tests.support.rest_client import predict
from tests.support.serving_models import running_endpoints
from tests.support.settings_files import write_experiment

WORDS = ["bad", "fine", "good"]
DATA = ('''    x = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).normal(size=[90, 3]).astype(np.float32)
    y = slope * x.sum(axis=1, keepdims=True) + 1
''', '''    words = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).integers(0, 3, 90)
    x = np.array(["bad day", "fine day", "good day"])[words]
    y = words[:, None].astype(np.float32)
''')
SETTINGS = [DATA, ("return features * 0.5", "return features"),
            ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None], tf.string)"),
            ("nbEpoch = 2", "nbEpoch = 20"), ("served_head =", "projector_num_samples = 0\nserved_head =")]
MODEL = '''\
import keras


def model(data, n_outputs):
    LAYERS
    return {"prediction": keras.layers.Dense(n_outputs)(encoded)}
'''
KINDS = {
    "TextVectorization": '''layer = keras.layers.TextVectorization(output_mode="multi_hot", vocabulary=["day", "bad", "fine", "good"])
    encoded = layer(data)''',
    "adapted": '''layer = keras.layers.TextVectorization(output_mode="multi_hot", pad_to_max_tokens=True, max_tokens=6)
    layer.adapt(["bad day", "fine day", "good day"])
    encoded = layer(data)''',
    "StringLookup": '''encoded = keras.layers.StringLookup(output_mode="one_hot", vocabulary=["bad day", "fine day", "good day"])(data)''',
    "Hashing": '''encoded = keras.layers.Embedding(64, 4)(keras.layers.Hashing(num_bins=64)(data))''',
    "tf_idf": '''layer = keras.layers.TextVectorization(output_mode="tf_idf")
    layer.adapt(["bad day", "fine day", "good day"])
    encoded = layer(data)''',
    "salted": '''encoded = keras.layers.CategoryEncoding(num_tokens=64, output_mode="one_hot")(
        keras.layers.Hashing(num_bins=64, salt=[133, 137])(data))''',
    "own layer": '''class Words(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.lookup = keras.layers.StringLookup(output_mode="one_hot", vocabulary=["bad day", "fine day", "good day"])

        def call(self, words):
            return self.lookup(words)

        def compute_output_spec(self, words):
            return keras.KerasTensor([None, 4])

    encoded = Words()(data)''',
    "nested": '''inner = keras.Sequential([keras.Input([], dtype="string"), keras.layers.StringLookup(output_mode="one_hot",
        vocabulary=["bad day", "fine day", "good day"])])
    encoded = inner(data)'''}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lookup_within_the_model_is_exported_and_answers_words(tmp_path, kind):
    result = experiments_manager.run(write_experiment(tmp_path, *SETTINGS, model=MODEL.replace("LAYERS", KINDS[kind])))
    served = tf.saved_model.load(result["last_exported_model"]).signatures["serving_default"]
    answers = served(x=tf.constant(["good day", "bad day", "fine day"]))["prediction"].numpy()[:, 0]
    np.testing.assert_allclose(answers, [2, 0, 1], atol=0.3)
    if kind == "adapted":
        again = experiment_run.restart(result["sessionFolder"], num_epochs=22)
        assert again["loss"] <= result["loss"]


NUMBERS = [pair for pair in SETTINGS if pair[0] not in (DATA[0], "tf.TensorSpec([None, 3], tf.float32)")] + [
    (DATA[0], DATA[1].replace('np.array(["bad day", "fine day", "good day"])[words]',
                              "np.array([[-3.0], [10.0], [50.0]], np.float32)[words]")),
    ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None, 1], tf.float32)")]
ADAPTED = {
    "boundaries": '''layer = keras.layers.Discretization(num_bins=4, output_mode="one_hot")
    layer.adapt(VALUES)
    encoded = layer(data)''',
    "statistics": '''layer = keras.layers.Normalization()
    layer.adapt(VALUES)
    encoded = keras.layers.Dense(16, activation="relu")(layer(data))'''}


@pytest.mark.parametrize("known", ADAPTED)
def test_what_was_adapted_to_numbers_is_served_and_a_restart_with_other_numbers_is_refused(tmp_path, known):
    values = tmp_path / "values.txt"
    values.write_text("-3 10 50 70")
    layers = ADAPTED[known].replace("VALUES", f"np.loadtxt({str(values)!r})[:, None].astype(np.float32)")
    model = MODEL.replace("import keras", "import keras\nimport numpy as np").replace("LAYERS", layers)
    result = experiments_manager.run(write_experiment(tmp_path, *NUMBERS, model=model))
    served = tf.saved_model.load(result["last_exported_model"]).signatures["serving_default"]
    answers = served(x=tf.constant([[50.0], [-3.0], [10.0]]))["prediction"].numpy()[:, 0]
    np.testing.assert_allclose(answers, [2, 0, 1], atol=0.3)
    values.write_text("-3 10 40 70")
    with pytest.raises(TrainingError, match=f"the {known} of .* are not those that the training started with"):
        experiment_run.restart(result["sessionFolder"], num_epochs=21)
    values.write_text("-3 10 50 70")
    assert experiment_run.restart(result["sessionFolder"], num_epochs=21)["global_step"] == 126


def test_weights_of_words_are_compared_as_the_words_are():
    def network(*sentences):
        layer = keras.layers.TextVectorization(output_mode="tf_idf")
        layer.adapt(list(sentences))
        words = keras.Input([], dtype="string")
        return keras.Model(words, layer(words))

    started, other = network("bad day", "good day"), network("bad day", "good day", "good bad day")
    assert table_layers(started)[0].get_vocabulary() == table_layers(other)[0].get_vocabulary()
    check_same_tables(network("bad day", "good day"), recorded=table_hashes(started), place="model.py:1")
    with pytest.raises(TrainingError, match="model.py:1: the words of text_vectorization"):
        check_same_tables(other, recorded=table_hashes(started), place="model.py:1")


def test_numbers_become_words_again_in_the_answers(tmp_path):
    layers = '''words = ["bad day", "fine day", "good day"]
    encoded = keras.layers.StringLookup(output_mode="one_hot", vocabulary=words)(data)'''
    outputs = '''prediction = keras.layers.Dense(n_outputs)(encoded)
    nearest = keras.ops.cast(keras.ops.clip(keras.ops.round(prediction), 0, 2), "int64")
    names = keras.layers.StringLookup(vocabulary=words, num_oov_indices=0, invert=True)(nearest)
    return {"prediction": prediction, "name": names}'''
    model = MODEL.replace("LAYERS", layers).replace('return {"prediction": keras.layers.Dense(n_outputs)(encoded)}', outputs)
    result = experiments_manager.run(write_experiment(tmp_path, *SETTINGS, model=model))
    asked = ["good day", "bad day", "fine day"]
    export = Path(result["last_exported_model"]).parent
    with running_endpoints(export, rest_port=0) as endpoints:
        document = {"signature_name": "name", "instances": asked}
        assert predict(endpoints.rest_port, document).json()["predictions"] == [[word] for word in asked]
    assert experiment_run.restart(result["sessionFolder"], num_epochs=21)["global_step"] == 126


def test_a_restart_with_other_words_is_refused(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("bad day\nfine day\ngood day")
    layers = f'''with open({str(words)!r}) as stream:
        words = stream.read().split("\\n")
    encoded = keras.layers.StringLookup(output_mode="one_hot", vocabulary=words)(data)'''
    short = [pair if pair[0] != "nbEpoch = 2" else ("nbEpoch = 2", "nbEpoch = 1") for pair in SETTINGS]
    result = experiments_manager.run(write_experiment(tmp_path, *short, model=MODEL.replace("LAYERS", layers)))
    words.write_text("good day\nfine day\nbad day")
    with pytest.raises(TrainingError, match="string_lookup.* are not those that the training started with"):
        experiment_run.restart(result["sessionFolder"], num_epochs=2)
    words.write_text("bad day\nfine day\ngood day")
    assert experiment_run.restart(result["sessionFolder"], num_epochs=2)["global_step"] == 12
