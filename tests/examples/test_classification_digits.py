"""The handwritten digits, trained briefly, beat logistic regression."""

from __future__ import annotations

import runpy
from pathlib import Path

from sklearn.linear_model import LogisticRegression

import experiments_manager
from tests.support.example_files import shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "classification" / "mysettings_digits.py"


def test_the_digits_beat_logistic_regression(tmp_path):
    file = shortened(tmp_path, FILE, ('"experiments/digits"', f'"{tmp_path}/digits"'), ("nbEpoch = 30", "nbEpoch = 15"))
    result = experiments_manager.run(file)
    load_part = runpy.run_path(str(Path(result["sessionFolder"]) / "experiment_settings.py"))["load_part"]
    (images, classes), (held_out, held_out_classes) = load_part(is_training=True), load_part(is_training=False)
    baseline = LogisticRegression(max_iter=2000).fit(images.reshape(-1, 64) / 16, classes)
    assert len(held_out) == 360
    assert result["accuracy"] > baseline.score(held_out.reshape(-1, 64) / 16, held_out_classes)
    assert result["accuracy"] >= 0.98
