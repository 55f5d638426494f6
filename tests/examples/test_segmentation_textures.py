"""Textures are segmented better than by their grey values after a brief training; the tiled client shows and scores them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, jaccard_score
from tensorflow_serving.apis.predict_pb2 import PredictResponse

import experiments_manager
from data_pipelines.patches.positions import assemble_patches, grid_patches
from tests.support.example_files import ask_served_model, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "segmentation" / "mysettings_semanticSegmentation.py"
MOSAICS = ROOT / "datasamples" / "texture_mosaics"
COLOURS = [(255, 0, 0), (0, 0, 255)]


@pytest.fixture(autouse=True)
def modules_beside_the_settings_file(monkeypatch):
    monkeypatch.syspath_prepend(FILE.parent)


def read_all(part: str, kind: str) -> np.ndarray:
    return np.concatenate([cv2.imread(str(file), cv2.IMREAD_UNCHANGED).ravel()
                           for file in sorted((MOSAICS / part / kind).glob("*.png"))])


def best_class_for_each_grey_value() -> np.ndarray:
    counts = np.zeros([256, 5], int)
    np.add.at(counts, (read_all("train", "raw"), read_all("train", "labels")), 1)
    return counts.argmax(axis=1)


@pytest.mark.slow
def test_a_brief_training_beats_grey_values_and_the_served_tiles_get_the_score_of_local_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = shortened(tmp_path, FILE, ('"experiments/textures"', f'"{tmp_path}/textures"'),
                     ("nbEpoch = 30", "nbEpoch = 6\neval_not_rerun_until_sec = 1000"),
                     ("num_epochs_per_decay = 7", "num_epochs_per_decay = 2"), ("decay = 0.98", "decay = 0.9"))
    result = experiments_manager.run(file)
    truth, baseline = read_all("val", "labels"), best_class_for_each_grey_value()[read_all("val", "raw")]
    baseline_accuracy = max(accuracy_score(truth, baseline), np.bincount(truth).max() / truth.size)
    assert result["accuracy"] > 1.5 * baseline_accuracy
    assert result["mean_iou"] > 1.5 * jaccard_score(truth, baseline, average="macro")

    ask_served_model(result)
    printed = capsys.readouterr().out
    image, large_truth = (cv2.imread(str(MOSAICS / "large" / kind / "mosaic.png"), cv2.IMREAD_UNCHANGED)
                          for kind in ("raw", "labels"))
    local = tf.saved_model.load(result["last_exported_model"]).signatures["classes"]
    tiles = grid_patches(image[..., None].astype(np.float32), (256, 256), field_of_view=64)
    predicted = assemble_patches(local(image=tf.constant(tiles))["classes"].numpy(), image.shape, field_of_view=64)
    assert number_after(printed, "accuracy of") == pytest.approx(accuracy_score(large_truth.ravel(), predicted.ravel()), abs=2e-4)
    assert number_after(printed, "mean IoU of") == pytest.approx(
        jaccard_score(large_truth.ravel(), predicted.ravel(), average="macro"), abs=2e-4)
    assert cv2.imread(f"{result['sessionFolder']}/predictions/0001_mosaic.png").shape[1] > 1500


def bright_or_dark(tiles: np.ndarray) -> PredictResponse:
    """What a model would answer that tells bright pixels from dark ones."""
    response = PredictResponse()
    response.outputs["classes"].CopyFrom(tf.make_tensor_proto((tiles[..., 0] > 127).astype(np.int32)))
    return response


def predicted_by_tiles(folder: Path, source: str | int, **options) -> tuple[object, list[np.ndarray]]:
    """Drives the client as the manager does; also returns the tiles that it sent."""
    from tiled_client import TiledClient
    options = {"truth_of": lambda file: None, "num_bands": 1, "tile": 32, "field_of_view": 9} | options
    client = TiledClient(str(folder), source=source, class_names=["dark", "bright"], colours=COLOURS, **options)
    sent = []
    try:
        while True:
            sent.append(client.getInputData(len(sent) + 1))
            client.decodeResponse(bright_or_dark(sent[-1]))
    except StopIteration:
        client.finalize()
    return client, sent


def half_bright(height: int, width: int, num_bright: int) -> np.ndarray:
    """A grey image as three equal bands, bright on the left."""
    image = np.full([height, width, 3], 40, np.uint8)
    image[:, :num_bright] = 200
    return image


def video_of(path: Path, frames: list[np.ndarray]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def frames_of(path: Path) -> tuple[float, list[np.ndarray]]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return capture.get(cv2.CAP_PROP_FPS), frames


def test_a_video_is_written_with_the_overlay_beside_each_frame(tmp_path):
    video = video_of(tmp_path / "moving.avi", [half_bright(80, 112, 16 * index) for index in range(5)])
    client, sent = predicted_by_tiles(tmp_path, str(video))
    rate, frames = frames_of(tmp_path / "predictions" / "prediction.avi")
    assert (rate, len(frames), client.num_finished) == (5.0, 5, 5)
    assert max(len(tiles) for tiles in sent) == 8 and sent[0].shape[1:] == (32, 32, 1)
    for index, frame in enumerate(frames):
        assert frame.shape[0] > 80 and frame.shape[1] == 2 * 112
        np.testing.assert_allclose(frame[10:70, :112], half_bright(60, 112, 16 * index), atol=25)
        blue, _, red = np.moveaxis(frame[10:70, 112:].astype(int), -1, 0)
        columns = np.arange(112)
        assert (blue > red)[:, columns < 16 * index - 8].all() and (red > blue)[:, columns >= 16 * index + 8].all()


def test_a_video_ends_at_the_most_frames_that_are_asked_for(tmp_path):
    video = video_of(tmp_path / "long.avi", [half_bright(40, 40, 8)] * 6)
    client, _ = predicted_by_tiles(tmp_path, str(video), most_frames=2)
    assert client.num_finished == 2
    assert len(frames_of(tmp_path / "predictions" / "prediction.avi")[1]) == 2


def test_a_folder_gives_a_picture_an_image_and_the_score_of_those_with_a_truth(tmp_path, capsys):
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), half_bright(70, 45, 20))
    cv2.imwrite(str(folder / "below" / "a.png"), half_bright(20, 90, 20)[..., 0])  # grey, and less high than a tile
    (folder / "notes.txt").write_text("no image")
    truth = np.zeros([70, 45], np.uint8)
    truth[:, :30] = 1
    truth[0] = 255  # void
    predicted_by_tiles(tmp_path, str(folder), truth_of=lambda file: None if "below" in file.parts else truth)
    assert sorted(path.name for path in (tmp_path / "predictions").iterdir()) == ["0001_a.png", "0002_a.png"]
    printed = capsys.readouterr().out
    assert printed.startswith("2 images predicted")
    assert number_after(printed, "accuracy of") == pytest.approx(35 / 45, abs=1e-4)
    assert number_after(printed, "mean IoU of") == pytest.approx((20 / 30 + 15 / 25) / 2, abs=1e-4)


def test_one_grey_image_reaches_a_model_of_three_bands(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), half_bright(32, 32, 7)[..., 0])
    _, sent = predicted_by_tiles(tmp_path, str(tmp_path / "one.png"), num_bands=3)
    np.testing.assert_array_equal(sent[0][0], half_bright(32, 32, 7))


def test_an_image_that_was_not_predicted_completely_is_told(tmp_path, capsys):
    from tiled_client import TiledClient
    cv2.imwrite(str(tmp_path / "one.png"), half_bright(32, 32, 7))
    client = TiledClient(str(tmp_path), source=str(tmp_path / "one.png"), truth_of=lambda file: None, colours=COLOURS,
                         class_names=["dark", "bright"], num_bands=1, tile=16, field_of_view=0)
    client.getInputData(1)
    client.finalize()
    assert "--predict_stream -1" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "error", "message"), [
    ("missing", FileNotFoundError, "client_source = 'missing' does not exist"), ("", ValueError, "Got ''"),
    (True, ValueError, "Got True"), (2.5, ValueError, "Got 2.5"), (987, ValueError, "cannot open the webcam 987"),
    ("notes.txt", ValueError, "cannot open the video 'notes.txt'"), ("empty", FileNotFoundError, "no image")])
def test_a_wrong_source_is_refused(tmp_path, monkeypatch, source, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(error, match=message):
        predicted_by_tiles(tmp_path, source)


def test_an_image_with_other_bands_than_the_model_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), half_bright(40, 40, 20))
    with pytest.raises(ValueError, match="photo.*3 bands.*num_channels=5"):
        predicted_by_tiles(tmp_path, str(tmp_path / "photo.png"), num_bands=5)


def test_scores_are_those_of_scikit_learn_without_void():
    from label_scores import LabelScores
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, [3, 40]), rng.integers(0, 3, [3, 40])
    truth[0, :10] = 255
    scores = LabelScores(6)  # two classes are neither true nor predicted
    for true_map, predicted_map in zip(truth, predicted, strict=True):
        scores.add(true_map, predicted_map)
    counts = truth != 255
    assert scores.num_pixels == 110
    assert scores.accuracy == pytest.approx(accuracy_score(truth[counts], predicted[counts]))
    assert scores.mean_iou == pytest.approx(jaccard_score(truth[counts], predicted[counts], average="macro"))
    with pytest.raises(ValueError, match="one shape"):
        scores.add(truth, predicted[:2])
