"""Photographs in folders, trained briefly, beat logistic regression; the client asks for any folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import experiments_manager
from expman.reports.page.confusion_matrix import read_confusion_matrix
from tests.support.example_files import ask_served_model, local_answers, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "classification" / "mysettings_image_folder.py"
CLASSES = ["brick", "grass", "gravel", "stars", "tissue"]


def photographs(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `[n, 64, 64]` and the numbers of their classes, in the order of the folders and names."""
    files = sorted((ROOT / "datasamples" / "texture_photos" / part).rglob("*.jpg"))
    return (np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]),
            np.array([CLASSES.index(file.parent.name) for file in files]))


@pytest.mark.slow
def test_a_brief_training_beats_logistic_regression_and_any_folder_can_be_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = shortened(tmp_path, FILE, ('"experiments/image_folder"', f'"{tmp_path}/runs"'), ("nbEpoch = 40", "nbEpoch = 12"),
                     ("num_epochs_per_decay = 10", "num_epochs_per_decay = 4"))
    result = experiments_manager.run(file)
    (images, classes), (held_out, truth) = photographs("train"), photographs("val")
    logistic = LogisticRegression(max_iter=300).fit(images.reshape(len(images), -1) / 255, classes)
    assert result["accuracy"] > 0.7 > 2 * logistic.score(held_out.reshape(len(held_out), -1) / 255, truth)

    ask_served_model(result)
    probabilities = local_answers(result, "probabilities", image=held_out[..., None].astype(np.float32))
    local = np.mean(probabilities.argmax(axis=1) == truth)
    assert number_after(capsys.readouterr().out, "accuracy of the served model:") == pytest.approx(local, abs=1e-4)
    counts = read_confusion_matrix(Path(result["sessionFolder"], "confusion_matrix.csv"))
    assert counts.labels == CLASSES and counts.accuracy == pytest.approx(local)
    picture = Path(result["sessionFolder"], "predictions.png")
    assert picture.stat().st_size > 100_000

    unnamed = tmp_path / "photos from a walk"
    unnamed.mkdir()
    for source in sorted((ROOT / "datasamples" / "texture_photos" / "val" / "grass").iterdir())[:3]:
        shutil.copy(source, unnamed)
    monkeypatch.setenv("IMAGE_FOLDER", str(unnamed))
    ask_served_model(result)
    printed = capsys.readouterr().out
    assert "3 requests" in printed and "accuracy" not in printed  # whose classes nobody knows
