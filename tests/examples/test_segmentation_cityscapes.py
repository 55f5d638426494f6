"""The settings for Cityscapes, on a tiny tree of the same layout whose images show their classes as colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, jaccard_score

import experiments_manager
from data_pipelines.patches.positions import assemble_patches, grid_patches
from expman.errors import ExperimentError
from tests.support.example_files import ask_served_model, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "segmentation" / "mysettings_semanticSegmentation_cityscapes.py"
EVALUATED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]  # the label ids of the benchmark
DRAWN = [0, 7, 11, 23, 30]  # two of them void


@pytest.fixture(autouse=True)
def modules_beside_the_settings_file(monkeypatch):
    monkeypatch.syspath_prepend(FILE.parent)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Images 64 × 96 in squares of one label each, whose colour tells it."""
    root = tmp_path_factory.mktemp("cityscapes")
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 226, [34, 3])
    for part, city, number in [("train", "aachen", 0), ("train", "aachen", 1), ("train", "ulm", 0), ("val", "frankfurt", 0)]:
        labels = np.kron(rng.choice(DRAWN, [4, 6]), np.ones([16, 16], int)).astype(np.uint8)
        image = np.clip(colours[labels] + rng.normal(0, 5, [64, 96, 3]), 0, 255).astype(np.uint8)
        for folder, ending, array in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", labels)):
            path = root / folder / part / city / f"{city}_{number:06d}_000019_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)
            if folder == "gtFine":  # lies beside in the real tree and must not be taken for it
                cv2.imwrite(str(path).replace("labelIds", "instanceIds"), array)
    return root


def ids_for_training(labels: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda label: EVALUATED.index(label) if label in EVALUATED else 255)(labels)


def test_the_34_label_ids_become_the_19_of_the_benchmark_and_void():
    from cityscapes_labels import CLASSES, train_ids
    np.testing.assert_array_equal(train_ids()[:34], ids_for_training(np.arange(34)))
    assert (train_ids()[34:] == 255).all() and len(CLASSES) == 19
    assert list(CLASSES)[train_ids()[26]] == "car"


def test_the_label_file_of_an_image_lies_in_the_other_tree():
    from cityscapes_labels import label_file_of
    assert label_file_of("data/leftImg8bit/val/ulm/ulm_1_2_leftImg8bit.png") == "data/gtFine/val/ulm/ulm_1_2_gtFine_labelIds.png"
    for wrong in ("photo.png", "data/leftImg8bit/val/ulm/photo.png", "data/other/val/ulm/ulm_1_2_leftImg8bit.png"):
        with pytest.raises(ValueError, match="leftImg8bit/PART/CITY"):
            label_file_of(wrong)


@pytest.mark.slow
def test_a_brief_training_on_the_layout_beats_the_majority_and_scores_without_void(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tree))
    file = shortened(tmp_path, FILE, ('"experiments/cityscapes"', f'"{tmp_path}/cityscapes"'), ("nbEpoch = 100", "nbEpoch = 8"),
                     ("decay = 0.999", "decay = 0.8"), ("batch_size = 4", "batch_size = 2\neval_not_rerun_until_sec = 1000"))
    result = experiments_manager.run(file, {"patch": 32, "depth": 1, "filters": 8, "growth_rate": 4, "dropout": 0.0,
                                            "learningRate": 0.02})
    image_file, = (tree / "leftImg8bit" / "val").rglob("*.png")
    label_file, = (tree / "gtFine" / "val").rglob("*labelIds.png")
    truth = ids_for_training(cv2.imread(str(label_file), cv2.IMREAD_UNCHANGED))
    counts = truth != 255
    assert 0 < counts.mean() < 1
    majority = np.bincount(truth[counts]).argmax()
    assert result["mean_iou"] > jaccard_score(truth[counts], np.full(counts.sum(), majority), average="macro")

    ask_served_model(result)
    printed = capsys.readouterr().out
    image = cv2.imread(str(image_file))[..., ::-1].astype(np.float32)
    local = tf.saved_model.load(result["last_exported_model"]).signatures["classes"]
    tiles = grid_patches(image, (64, 64), field_of_view=16)
    predicted = assemble_patches(local(image=tf.constant(tiles))["classes"].numpy(), image.shape[:2], field_of_view=16)
    assert number_after(printed, "accuracy of") == pytest.approx(accuracy_score(truth[counts], predicted[counts]), abs=2e-4)
    assert number_after(printed, "accuracy of") > np.mean(truth[counts] == majority)
    assert len(list(Path(result["sessionFolder"], "predictions").glob("0001_frankfurt*.png"))) == 1


def test_a_missing_data_set_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path / "nowhere"))
    with pytest.raises(ExperimentError, match="nowhere/leftImg8bit/train' does not exist"):
        experiments_manager.run(shortened(tmp_path, FILE, ('"experiments/cityscapes"', f'"{tmp_path}/cityscapes"')))
