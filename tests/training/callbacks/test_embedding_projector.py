"""The files of TensorBoard's Projector, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import experiments_manager
from expman import experiment_run
from expman.records.experiment_folder import ExperimentFolder
from expman.training.callbacks.embedding_projector import EmbeddingProjector
from expman.training.progress import TrainingProgress
from expman.training.tensorboard.projector_files import metadata_table, sprite_image, tensor_bytes, write_projector
from expman.training.tensorboard.projector_points import ProjectorPoints, collect_points
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics
from tests.training.test_estimator import trained_estimator, validation_data, weights_and_averages

LARGEST_CHANGE = 1 / 30_000  # of the first value of a tensor, see tensor_bytes


def read_config(folder: Path) -> ProjectorConfig:
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(encoding="utf-8"), ProjectorConfig())


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    return {embedding.tensor_name: np.fromfile(folder / embedding.tensor_path, "<f4").reshape(embedding.tensor_shape)
            for embedding in read_config(folder).embeddings}


def collect(features, labels=None, *, batch_size=4, num_samples=1000, label_names=(), outputs=None):
    """Collects points of NumPy arrays by a model that returns `outputs(features)`."""
    def batches():
        for start in range(0, 10, batch_size):
            rows = slice(start, start + batch_size)
            yield tf.nest.map_structure(lambda array: None if array is None else tf.constant(array[rows]),
                                        (features, labels))

    return collect_points(batches(), project=lambda inputs: (inputs, outputs(inputs) if outputs else {}),
                          label_names=label_names, num_samples=num_samples)


def header(points: ProjectorPoints) -> list[str]:
    return metadata_table(points.labels, num_samples=10).splitlines()[0].split("\t")


def test_the_tensors_are_inputs_and_outputs_with_averaged_weights(tmp_path):
    estimator, experiment = trained_estimator(tmp_path, ("nbEpoch = 2", "nbEpoch = 1"))
    kernel, bias, out_kernel, out_bias = weights_and_averages(estimator)[1]
    x, y = validation_data()
    code = np.tanh(x * 0.5 @ kernel + bias)
    expected = {"code": code, "prediction": code @ out_kernel + out_bias, "inputs": x * 0.5}
    tensors = read_tensors(experiment.embeddings)
    assert list(tensors) == list(expected)
    for name, matrix in expected.items():
        np.testing.assert_allclose(tensors[name][:, :matrix.shape[1]], matrix, rtol=1e-4, atol=1e-5)
    rows = (experiment.embeddings / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "label\tsample" and len(rows) == 91
    np.testing.assert_allclose([float(row.split("\t")[0]) for row in rows[1:]], y[:, 0], rtol=1e-6)


def test_a_training_is_the_same_with_and_without_the_projector(tmp_path, trained):
    without = experiments_manager.run(write_experiment(tmp_path, added="\nprojector_num_samples = 0\n"))
    rows = [[{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(run["sessionFolder"])]
            for run in (trained, without)]
    assert rows[0] == rows[1]
    assert not (Path(without["sessionFolder"]) / "embeddings").exists()


def test_the_files_are_rewritten_at_each_new_best_only(tmp_path):
    progress, value = TrainingProgress(evaluated=True), tf.Variable(1.0)
    callback = EmbeddingProjector(folder=tmp_path / "embeddings", progress=progress, batches=[(tf.ones([5, 3]), None)],
                                  project=lambda inputs: (inputs, {"code": inputs * value}), label_names=[], num_samples=10)
    seen = []
    for improved in (True, False, True):
        progress.improved = improved
        callback.on_epoch_end(0)
        seen.append(read_tensors(tmp_path / "embeddings")["code"][1, 1])
        value.assign_add(1.0)
    assert seen == [1.0, 1.0, 3.0]
    assert len(list((tmp_path / "embeddings").glob("events*"))) == 1


@pytest.mark.slow
def test_a_restart_finds_the_same_samples_in_validation_data_that_are_shuffled(tmp_path):
    shuffled = ("(dataset.shuffle(90) if shuffle_batches else dataset)", "dataset.shuffle(90)")
    tables = []
    for name, num_epochs in (("whole", 4), ("parts", 2)):
        (tmp_path / name).mkdir()
        file = write_experiment(tmp_path / name, shuffled, ("nbEpoch = 2", f"nbEpoch = {num_epochs}"))
        folder = Path(experiments_manager.run(file)["sessionFolder"])
        if num_epochs == 2:
            experiment_run.restart(str(folder), num_epochs=4)
        assert ExperimentFolder(folder).read_state()["best_epoch"] == 4
        tables.append((folder / "embeddings" / "metadata.tsv").read_text(encoding="utf-8"))
    assert tables[0] == tables[1]


def test_an_experiment_with_nothing_but_too_large_tensors_has_no_projector(tmp_path):
    callback = EmbeddingProjector(folder=tmp_path / "embeddings", progress=TrainingProgress(improved=True, evaluated=True),
                                  batches=[(tf.ones([2, 20_000]), None)], project=lambda inputs: (inputs, {}),
                                  label_names=[], num_samples=10)
    callback.on_epoch_end(0)
    assert not (tmp_path / "embeddings").exists()


@pytest.mark.parametrize("first", [0.0, -0.0, 1.0, 2.0, -3.25, 1e-30, 3e38, np.inf, -np.inf, np.nan])
def test_no_tensor_can_be_mistaken_for_a_text(first):
    matrix = np.full([3, 4], 2.0, np.float32)
    matrix[0, 0] = first
    data = tensor_bytes(matrix)
    with pytest.raises(UnicodeDecodeError):
        data.split(b"\n")[0].decode("utf-8")
    read = np.frombuffer(data, "<f4").reshape(3, 4)
    np.testing.assert_allclose(read, matrix, rtol=LARGEST_CHANGE, atol=1e-40)
    np.testing.assert_array_equal(read.flat[1:], matrix.flat[1:])


def test_narrow_tensors_get_three_columns_since_the_page_needs_them(tmp_path):
    write_projector(tmp_path, ProjectorPoints(tensors={"one": np.ones([4, 1]), "two": np.ones([4, 2])}, labels={},
                                              thumbnails=None))
    tensors = read_tensors(tmp_path)
    np.testing.assert_allclose(tensors["one"], [[1, 0, 0]] * 4, rtol=LARGEST_CHANGE)
    np.testing.assert_allclose(tensors["two"], [[1, 1, 0]] * 4, rtol=LARGEST_CHANGE)


def test_names_that_a_request_cannot_carry_are_replaced_and_stay_apart(tmp_path):
    write_projector(tmp_path, ProjectorPoints(tensors={"a/b": np.ones([2, 3]), "a&b": np.zeros([2, 3])}, labels={},
                                              thumbnails=None))
    assert list(read_tensors(tmp_path)) == ["a-b", "a-b_2"]


def test_points_are_the_first_samples_over_batches():
    features = np.arange(40, dtype=np.float32).reshape(10, 4)
    points = collect(features, np.arange(10), num_samples=6, outputs=lambda inputs: {"code": inputs * 2})
    np.testing.assert_array_equal(points.tensors["inputs"], features[:6])
    np.testing.assert_array_equal(points.tensors["code"], features[:6] * 2)
    np.testing.assert_array_equal(points.labels["label"], np.arange(6))


def test_tensors_that_are_no_matrix_of_moderate_size_are_left_out():
    points = collect(np.ones([10, 3], np.float32), outputs=lambda inputs: {
        "wide": tf.zeros([len(inputs), 128, 129]), "widest": tf.zeros([len(inputs), 128, 128]),
        "boxes": tf.zeros([len(inputs) * 2, 4]), "text": tf.fill([len(inputs), 2], "a"),
        "padded": tf.zeros([len(inputs), len(inputs)]), "classes": tf.ones([len(inputs), 4], tf.int64)})
    assert {name: tensor.shape for name, tensor in points.tensors.items()} == {
        "widest": (10, 16384), "classes": (10, 4), "inputs": (10, 3)}


def test_inputs_may_be_named_and_an_output_may_be_named_like_one():
    named = {"left": np.ones([10, 3], np.float32), "right": np.zeros([10, 8, 6, 1], np.float32)}
    points = collect(named, outputs=lambda inputs: {"left": inputs["left"] * 5})
    assert list(points.tensors) == ["output-left", "left", "right"]
    assert points.tensors["output-left"].max() == 5
    assert points.thumbnails.shape == (10, 8, 6, 1)


@pytest.mark.parametrize(("labels", "label_names", "expected"), [
    (np.zeros([10]), ["digit"], ["digit", "sample"]),
    (np.zeros([10, 1]), [], ["label", "sample"]),
    (np.zeros([10, 2]), ["height", "width"], ["height", "width", "sample"]),
    (np.zeros([10, 2]), ["height"], ["label_1", "label_2", "sample"]),
    ({"size": np.zeros([10, 2]), "kind": np.zeros([10])}, [], ["size_1", "size_2", "kind", "sample"]),
    ({"size": np.zeros([10, 2]), "kind": np.zeros([10])}, ["a", "b", "c"], ["a", "b", "c", "sample"]),
    ((np.zeros([10]), np.zeros([10])), [], ["label_1", "label_2", "sample"]),
    (np.zeros([10, 5, 5, 1]), [], [*(f"label_{number}" for number in range(1, 17)), "sample"]),
    (np.zeros([10, 20]), [f"class {number}" for number in range(20)],
     [*(f"class {number}" for number in range(16)), "sample"]),
    (np.zeros([10]), ["sample"], ["sample", "sample_2"])])
def test_label_columns_are_named_after_reference_labels_if_there_is_one_for_each(labels, label_names, expected):
    assert header(collect(np.ones([10, 3], np.float32), labels, label_names=label_names)) == expected


def test_without_labels_the_table_has_no_header_since_the_page_would_take_it_for_a_point():
    points = collect(np.ones([10, 3], np.float32))
    assert metadata_table(points.labels, num_samples=10).splitlines() == [str(number) for number in range(10)]


def test_a_label_is_one_cell_whatever_it_holds():
    labels = {"name": np.array([b"a\tb\nc", "ü".encode(), b""]), "size": np.array([0.1, 2.0, np.nan], np.float32),
              "is\tlarge": np.array([True, False, True])}
    assert metadata_table(labels, num_samples=3) == (
        "name\tsize\tis large\tsample\na b c\t0.1\tTrue\t0\nü\t2\tFalse\t1\n\tnan\tTrue\t2\n")


def test_the_sprite_has_the_thumbnails_row_by_row_in_grey_levels_over_all():
    thumbnails = np.random.default_rng(0).normal(size=[5, 40, 60, 3]).astype(np.float32)
    pixels, size = sprite_image(thumbnails)
    assert pixels.shape == (120, 180, 3) and pixels.dtype == np.uint8 and size == (40, 60)
    levels = (thumbnails - thumbnails.min()) / (thumbnails.max() - thumbnails.min()) * 255
    for number in range(5):
        row, column = divmod(number, 3)
        np.testing.assert_allclose(pixels[row * 40:row * 40 + 40, column * 60:column * 60 + 60], levels[number], atol=0.51)
    assert not pixels[80:].any()


def test_tiny_thumbnails_are_enlarged_pixel_by_pixel():
    thumbnails = np.arange(32, dtype=np.float32).reshape(1, 4, 8, 1)
    pixels, size = sprite_image(thumbnails)
    assert size == (16, 32)
    np.testing.assert_array_equal(pixels[..., 0], np.kron(np.rint(thumbnails[0, ..., 0] * (255 / 31)), np.ones([4, 4])))


def test_the_sprite_is_never_larger_than_the_page_allows():
    pixels, size = sprite_image(np.ones([17_000, 64, 32, 1], np.float32))
    assert max(pixels.shape) <= 8192 and size == (62, 31)
    assert pixels.shape[0] == 131 * 62


def test_a_constant_image_or_one_with_nan_becomes_a_sprite_too():
    assert not sprite_image(np.full([4, 2, 2, 1], 7.0, np.float32))[0].any()
    images = np.array([0, np.nan, 1, np.inf], np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(sprite_image(images)[0][::16, ::16, 0], [[0, 0], [255, 0]])


def test_thumbnails_are_means_of_the_pixels_that_they_stand_for():
    images = np.random.default_rng(0).uniform(size=[10, 256, 128, 4]).astype(np.float32)
    expected = images[..., :3].reshape(10, 64, 4, 32, 4, 3).mean(axis=(2, 4))
    points = collect(images)
    np.testing.assert_allclose(points.thumbnails, expected, rtol=1e-4)
    np.testing.assert_allclose(points.tensors["inputs"], expected.reshape(10, -1), rtol=1e-4)  # 131,072 values are too many


def test_the_sprite_is_drawn_for_images_only(tmp_path):
    for name, shape in (("vectors", [10, 3]), ("images", [10, 8, 8, 1]), ("maps", [10, 8, 8, 7])):
        write_projector(tmp_path / name, collect(np.ones(shape, np.float32)))
    assert [path.parent.name for path in tmp_path.rglob("sprite.png")] == ["images"]
    assert list(read_config(tmp_path / "images").embeddings[0].sprite.single_image_dim) == [32, 32]
    assert tf.io.decode_png((tmp_path / "images" / "sprite.png").read_bytes()).shape == (128, 128, 1)
