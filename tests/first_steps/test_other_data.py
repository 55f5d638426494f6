"""The pipelines that --init writes give all of other data, for --evaluate --data, and what they give can be learnt."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import experiments_manager
from expman import experiment_run
from expman.errors import UserCodeError
from expman.experiment_evaluation import evaluate
from expman.first_steps.first_steps import write_first_steps
from expman.settings.loading import Settings, load_settings
from tests.support import first_data
from tests.support.training_runs import read_metrics


def written(folder: Path, monkeypatch, like: str, data: str, target: str | None = None) -> Settings:
    monkeypatch.chdir(folder)
    write_first_steps("mine", like=like, data=data, target=target)
    return load_settings(folder / "mine" / "mysettings.py")


def labels_of(settings: Settings, data: Path | str, *, is_training: bool = False) -> np.ndarray:
    batches = settings.call("get_input_pipeline_train_val", batch_size=4, raw_data_files_folder=str(data),
                            shuffle_batches=is_training)
    return np.concatenate([labels for _, labels in batches.as_numpy_iterator()])


def write_repeated_texts(file: Path) -> pd.DataFrame:
    """Each text several times, some in capitals or with more spaces; one without class, one without text."""
    rows = [(f"the {mood} thing number {number % 12} here", mood) for number in range(60) for mood in ("good", "bad")]
    rows = [(text.upper().replace(" ", "  ") if row % 3 == 0 else text, mood) for row, (text, mood) in enumerate(rows)]
    frame = pd.DataFrame([*rows, ("nobody knows this one", ""), ("", "good")], columns=["text", "mood"])
    frame.to_csv(file, index=False)
    return frame


@pytest.mark.parametrize(("like", "data", "write", "target", "number"), [
    ("images", "uneven", first_data.write_uneven_images, None, 42), ("images", "split", first_data.write_split_images, None, 40),
    ("text", "texts.csv", first_data.write_texts, "Laune", 80),
    ("timeseries", "series.csv", first_data.write_series, "Temp in °C", 241)])
def test_other_data_are_measured_whole(tmp_path, monkeypatch, like, data, write, target, number):
    """241: the windows of 48 + 12 rows in 300 rows; 42: the images but for the broken one."""
    write(tmp_path / data)
    other = tmp_path / f"other_{data}"
    (shutil.copytree if (tmp_path / data).is_dir() else shutil.copy)(tmp_path / data, other)
    settings = written(tmp_path, monkeypatch, like, data, target)
    own = [len(labels_of(settings, settings.raw_data_dir_val, is_training=is_training)) for is_training in (True, False)]
    assert len(labels_of(settings, other)) == number > max(own)


def test_other_masks_are_measured_whole(tmp_path, monkeypatch):
    first_data.write_masks(tmp_path / "masks")
    settings = written(tmp_path, monkeypatch, "segmentation", "masks")
    shutil.copytree(tmp_path / "masks", tmp_path / "other")
    files_of = settings.functions["get_input_pipeline_train_val"].__globals__["files_of"]
    assert [len(files_of(str(tmp_path / folder), is_training=False)[0]) for folder in ("masks", "other")] == [2, 7]


def test_other_texts_with_an_unknown_class_are_refused(tmp_path, monkeypatch):
    first_data.write_texts(tmp_path / "texts.csv")
    settings = written(tmp_path, monkeypatch, "text", "texts.csv", "Laune")
    (tmp_path / "other.csv").write_text("Review;Laune\na good thing;gut\na thing;mittel\n")
    with pytest.raises(UserCodeError, match="the classes 'mittel' are none of CLASSES"):
        labels_of(settings, tmp_path / "other.csv")


def test_repeated_texts_are_told_and_lie_in_one_part(tmp_path, monkeypatch):
    frame = write_repeated_texts(tmp_path / "texts.csv")
    monkeypatch.chdir(tmp_path)
    sentences = write_first_steps("mine", like="text", data="texts.csv", target="mood").sentences
    assert any("96 rows repeat a text that is there already" in sentence for sentence in sentences)
    load_settings(tmp_path / "mine" / "mysettings.py")
    parts = [sys.modules["texts"].load_part(is_training=is_training)[0] for is_training in (True, False)]
    assert sum(map(len, parts)) == len(frame) - 2 and min(map(len, parts)) > 0
    training, validation = ({" ".join(text.lower().split()) for text in part} for part in parts)
    assert not training & validation


def test_empty_short_and_unknown_texts_get_probabilities(tmp_path, monkeypatch):
    first_data.write_texts(tmp_path / "texts.csv")
    settings = written(tmp_path, monkeypatch, "text", "texts.csv", "Laune")
    data = keras.Input([], dtype="string")
    outputs = settings.call("model", data=data, n_outputs=2, hparams=settings.hparams)
    network = keras.Model(data, outputs)
    for texts in (["", "a", "zzz qqq", "a good thing"], [""], ["?"]):
        logits = network(tf.constant(texts))["logits"]
        answer = settings.call("model_outputs_postprocessing_for_serving", model_outputs_dict={"logits": logits})
        np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1, rtol=1e-5)
    alone, beside_longer = network(tf.constant(["good"])), network(tf.constant(["good", "a very much longer text than that"]))
    np.testing.assert_allclose(alone["logits"][0], beside_longer["logits"][0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("like", "data", "write", "target"), [
    ("images", "split", first_data.write_split_images, None), ("text", "texts.csv", first_data.write_texts, "Laune")])
def test_the_loss_weighs_samples_as_class_weights_need_it(tmp_path, monkeypatch, like, data, write, target):
    write(tmp_path / data)
    settings = written(tmp_path, monkeypatch, like, data, target)
    logits, labels, weights = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32), np.array([0, 1]), np.array([2.0, 0.5], np.float32)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[[0, 1], labels]
    for given, expected in (({"sample_weights": weights}, (weights * losses).mean()), ({}, losses.mean())):
        loss = settings.call("get_total_loss", model_outputs_dict={"logits": logits}, labels=labels, **given)
        assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_batches_of_images_hold_several_classes(tmp_path, monkeypatch):
    first_data.write_uneven_images(tmp_path / "uneven")
    settings = written(tmp_path, monkeypatch, "images", "uneven")
    assert settings.batch_size >= 8
    assert set(labels_of(settings, settings.raw_data_dir_val)[:4]) == {0, 1, 2}


@pytest.mark.slow
def test_texts_are_evaluated_and_trained_on_from_another_folder(tmp_path, monkeypatch):
    """The texts lie above the experiment's own files, which texts.py names by its place."""
    first_data.write_texts(tmp_path / "texts.csv")
    monkeypatch.chdir(tmp_path)
    write_first_steps("mine", like="text", data="texts.csv", target="Laune")
    file = tmp_path / "mine" / "mysettings.py"
    file.write_text(re.sub(r"^nbEpoch = \d+", "nbEpoch = 1", file.read_text(encoding="utf-8"), flags=re.M), encoding="utf-8")
    folder = experiments_manager.run(file)["sessionFolder"]
    shutil.copy("texts.csv", "other.csv")
    monkeypatch.chdir("/")
    own, other = evaluate(folder), evaluate(folder, data=str(tmp_path / "other.csv"))
    assert own["metrics"] == own["recorded_best"] and other["num_samples"] == 80 > own["num_samples"]
    experiment_run.restart(folder, num_epochs=2)
    assert [row["epoch"] for row in read_metrics(folder)] == ["1", "2"]
