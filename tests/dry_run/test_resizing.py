"""`--check` tells when the pipeline and Client_IO resize one file to two pictures, and where each of them does."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import pytest

import experiments_manager
from expman.dry_run.check import Check, Finding
from expman.dry_run.checks.batches import check_batches
from expman.dry_run.checks.resizing import check_resizing
from expman.dry_run.checks.settings import check_settings
from expman.dry_run.dry_run import DryRun
from expman.dry_run.runner import run_dry
from tests.support.settings_files import SETTINGS, write_experiment

IMPORTS = """\
import cv2
import keras
from PIL import Image
from cv2 import resize as cv2_resize
from DataProvider_input_pipeline import ImageFitting, resize


def shrunk(picture):
    return cv2.resize(picture, (5, 5), interpolation=cv2.INTER_AREA)  # in NumPy
"""
DATA = """\
    pixels = np.random.default_rng(0).integers(0, 256, [32, 12, 12, 3]).astype(DTYPE)
    dataset = tf.data.Dataset.from_tensor_slices((pixels, np.zeros([32, 1], np.float32)))

    def prepared(picture, label):
        picture = PIPELINE  # of the pipeline
        return tf.ensure_shape(tf.reshape(tf.cast(picture, tf.float32), [-1])[:3], [3]), label

    return dataset.map(prepared).batch(batch_size)


def """
CLIENT = """\
        pixels = np.random.default_rng(0).integers(0, 256, [12, 12, 3]).astype(DTYPE)
        picture = CLIENT  # of the client
        return np.asarray(picture, np.float32).reshape(1, -1)[:, :3]

    def decodeResponse(self, result):
        cv2.resize(np.zeros([12, 12]), (5, 5), interpolation=cv2.INTER_CUBIC)
"""
IN_NUMPY = "tf.numpy_function(shrunk, [picture], tf.uint8)"
_NUMBERS = itertools.count()
FITTING = "ImageFitting(image_size=(5, 5)).fitted({})"


def write_pictures(folder: Path, pipeline: str, client: str, *, dtype: str = "np.uint8") -> Path:
    data = SETTINGS[SETTINGS.index("    x = np.random.default_rng(0 if"):SETTINGS.index("get_input_pipeline_serving")]
    of_client = SETTINGS[SETTINGS.index("        return np.full("):SETTINGS.index("        self.answers.append")]
    file = write_experiment(
        folder, ("import keras\n", IMPORTS), (data, DATA.replace("PIPELINE", pipeline)),
        (of_client, CLIENT.replace("CLIENT", client)))
    # AutoGraph keeps what it made of a function for equal ones at the same line of another file.
    other_line = "\n" * next(_NUMBERS)
    file.write_text(other_line + file.read_text(encoding="utf-8").replace("DTYPE", dtype), encoding="utf-8")
    return file


def asked(run: DryRun) -> Finding:
    """Stands for the check that serves: the client's side of it without a server."""
    client = run.patched_settings.functions["Client_IO"]({}, False)
    client.getInputData(1)
    return Finding("")


FAST_CHECKS = (Check("settings", check_settings), Check("batches", check_batches), Check("asked", asked),
               Check("resizing", check_resizing, requires=("asked", "batches")))


@pytest.mark.parametrize(("pipeline", "client", "names"), [
    ("tf.image.resize(picture, (5, 5), antialias=True)", "cv2.resize(pixels, (5, 5))", ("antialias", "bilinear")),
    ("tf.image.resize(picture, (5, 5), antialias=True)", "cv2_resize(pixels, (5, 5), None, 0, 0, cv2.INTER_AREA)",
     ("antialias", "area")),
    ("keras.layers.Resizing(5, 5)(picture)", "Image.fromarray(pixels).resize((5, 5), Image.Resampling.BILINEAR)",
     ("bilinear", "antialias")),
    ("keras.ops.image.resize(picture, (5, 5), antialias=True)", "Image.fromarray(pixels).resize((5, 5))",
     ("antialias", "bicubic with antialias")),
    ("resize(picture, (5, 5), 'area')", "resize(pixels, (5, 5))", ("area", "antialias")),
    (IN_NUMPY, "resize(pixels, (5, 5), 'bilinear')", ("area", "bilinear"))])
def test_two_filters_are_told_with_both_places(tmp_path, capsys, pipeline, client, names):
    file = write_pictures(tmp_path, pipeline, client)
    assert run_dry(FAST_CHECKS, settings_file=file, hparams=None)
    output = capsys.readouterr().out
    lines = file.read_text(encoding="utf-8").splitlines()
    places = [next(number for number, line in enumerate(lines, start=1) if line.endswith(mark))
              for mark in ("# in NumPy" if pipeline == IN_NUMPY else "# of the pipeline", "# of the client")]
    assert (f"warning: get_input_pipeline_train_val resizes by {names[0]} ({file}:{places[0]}), Client_IO by {names[1]} "
            f"({file}:{places[1]})") in output
    assert "Use one filter on both sides" in output


def test_16_bits_are_told_too(tmp_path, capsys):
    file = write_pictures(tmp_path, "resize(picture, (5, 5))", "cv2.resize(pixels, (5, 5))", dtype="np.uint16")
    assert run_dry(FAST_CHECKS, settings_file=file, hparams=None)
    assert "warning: get_input_pipeline_train_val resizes by antialias (" in capsys.readouterr().out


@pytest.mark.parametrize(("pipeline", "client"), [
    ("picture", "pixels"),
    ("tf.image.resize(picture, (12, 12), antialias=True)", "cv2.resize(pixels, (5, 5))"),  # the first one changes nothing
    ("picture", "cv2.resize(pixels, (5, 5))"),
    ("tf.image.resize(picture, (5, 5), antialias=True)", "resize(pixels, (5, 5))"),
    ("tf.image.resize(tf.image.resize(picture, (5, 5), 'nearest'), (3, 3))", "cv2.resize(pixels, (5, 5))"),  # labels by the nearest
    ("tf.image.resize(picture, (5, 5), method='area')", "cv2.resize(pixels, (5, 5), interpolation=cv2.INTER_AREA)"),
    ("tf.image.resize(picture, (24, 24), antialias=True)", "cv2.resize(pixels, (24, 24))"),  # enlarging, they are the same
    ("tf.numpy_function(lambda x: " + FITTING.format("x") + ", [picture], tf.uint8)", FITTING.format("pixels")),
    (IN_NUMPY, FITTING.format("pixels"))])
def test_one_filter_or_none_is_not_told(tmp_path, capsys, pipeline, client):
    file = write_pictures(tmp_path, pipeline, client)
    assert run_dry(FAST_CHECKS, settings_file=file, hparams=None)
    assert "resizes by" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_check_tells_it_and_leaves_the_libraries_as_they_were(tmp_path, capsys):
    before = cv2.resize
    file = write_pictures(tmp_path, "tf.image.resize(picture, (5, 5), antialias=True)", "cv2.resize(pixels, (5, 5))")
    experiments_manager.main(["--check", "--usersettings", str(file)])
    output = capsys.readouterr().out
    assert output.count("warning: get_input_pipeline_train_val resizes by antialias (") == 1 and cv2.resize is before
    assert "bicubic" not in output  # by decodeResponse, which makes no input
