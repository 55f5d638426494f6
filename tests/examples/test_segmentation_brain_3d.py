"""The brain's tissues, trained briefly, are told better than by the best class for each grey value.

The header's stronger baseline, which blurs first (0.930, 0.797), is beaten by the full training only: it takes too long here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, jaccard_score

import experiments_manager
from tests.support.example_files import ask_served_model, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "segmentation" / "mysettings_brain_3D.py"


def slabs(part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    archives = [np.load(file) for file in sorted((ROOT / "datasamples" / "brain_t1" / part).glob("*.npz"))]
    return [(archive["raw"], archive["label"]) for archive in archives]


def best_class_for_each_grey_value() -> np.ndarray:
    counts = np.zeros([256, 4], int)
    for raw, labels in slabs("train"):
        np.add.at(counts, (raw.ravel(), labels.ravel()), 1)
    return counts.argmax(axis=1)


@pytest.mark.slow
def test_a_brief_training_beats_grey_values_and_the_served_slabs_get_the_score_of_local_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(FILE.parent)
    file = shortened(tmp_path, FILE, ('"experiments/brain"', f'"{tmp_path}/brain"'), ("nbEpoch = 24", "nbEpoch = 3"),
                     ("num_epochs_per_decay = 6", "num_epochs_per_decay = 1"), ("decay = 0.95", "decay = 0.9"))
    result = experiments_manager.run(file)
    ask_served_model(result)
    printed = capsys.readouterr().out
    assert Path(result["sessionFolder"], "slices.png").stat().st_size > 50_000

    local = tf.saved_model.load(result["last_exported_model"]).signatures["classes"]
    truth = np.concatenate([labels.ravel() for _, labels in slabs("val")])
    baseline = np.concatenate([best_class_for_each_grey_value()[raw].ravel() for raw, _ in slabs("val")])
    predicted = np.concatenate([local(volume=tf.constant(raw[None, ..., None], tf.float32))["classes"].numpy().ravel()
                                for raw, _ in slabs("val")])
    accuracy, mean_iou = number_after(printed, "accuracy of"), number_after(printed, "mean IoU of")
    assert accuracy == pytest.approx(accuracy_score(truth, predicted), abs=2e-4)
    assert mean_iou == pytest.approx(jaccard_score(truth, predicted, average="macro"), abs=2e-4)
    assert accuracy > accuracy_score(truth, baseline)
    assert mean_iou > jaccard_score(truth, baseline, average="macro")
