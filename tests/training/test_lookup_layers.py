"""Layers that look words up, made inside `model()`, are trained with, exported, served and restarted."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from settings_files import write_experiment

import experiments_manager
from expman import commands
from expman.errors import TrainingError

WORDS = ["bad", "fine", "good"]
DATA = ('''    x = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).normal(size=[90, 3]).astype(np.float32)
    y = slope * x.sum(axis=1, keepdims=True) + 1
''', '''    words = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).integers(0, 3, 90)
    x = np.array(["bad day", "fine day", "good day"])[words]
    y = words[:, None].astype(np.float32)
''')
SETTINGS = [DATA, ("return features * 0.5", "return features"), ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None], tf.string)"),
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
        again = commands.restart(result["sessionFolder"], num_epochs=22)
        assert again["loss"] <= result["loss"]


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
        commands.restart(result["sessionFolder"], num_epochs=2)
    words.write_text("bad day\nfine day\ngood day")
    assert commands.restart(result["sessionFolder"], num_epochs=2)["global_step"] == 12
