"""A new export format is one new file; versions, verification and warm-up stand above it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import ExportError
from expman.export import formats
from expman.export.formats.export_format import export_format, format_names
from expman.export.publisher import publish
from expman.export.served_model import ServedModel

SAMPLE = {"x": np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]], np.float32)}

NUMPY_AFFINE = '''\
"""A dense layer as an .npz file of NumPy: what a version is and how it is asked."""

import numpy as np

from expman.errors import ExportError
from expman.export.formats.export_format import ExportFormat


class NumpyAffineFormat(ExportFormat):
    def write(self, served, folder):
        if list(served.inputs_spec) != ["x"]:
            raise ExportError("numpy_affine takes models of one input named x.")
        folder.mkdir()
        zero, ones = np.zeros([1, 2], np.float32), np.eye(2, dtype=np.float32)
        offset = served.answers({"x": zero})["y"]
        np.savez(folder / "affine.npz", slope=served.answers({"x": ones})["y"] - offset, offset=OFFSET)

    def answer(self, folder, inputs):
        with np.load(folder / "affine.npz") as weights:
            y = inputs["x"] @ weights["slope"] + weights["offset"]
        return {name: {"y": y} for name in ("serving_default", "y")}


FORMAT = NumpyAffineFormat()
'''


@pytest.fixture
def add_format(tmp_path, monkeypatch):
    """Puts a file into the room of the formats, for this test."""
    folder = tmp_path / "formats"
    folder.mkdir()
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    added = []

    def add(name, text):
        (folder / f"{name}.py").write_text(text)
        added.append(name)

    yield add
    for name in added:
        sys.modules.pop(f"expman.export.formats.{name}", None)
        vars(formats).pop(name, None)


@pytest.fixture
def affine():
    return ServedModel(answer=lambda inputs: {"y": tf.matmul(inputs["x"], [[1.0], [2.0]]) + 3.0},
                       inputs_spec={"x": tf.TensorSpec([None, 2], tf.float32)})


def published(served, folder):
    return publish(served, base_path=folder / "affine", sample=SAMPLE, keep_versions=2, format_name="numpy_affine")


def test_a_file_in_the_room_is_a_format_that_is_published_verified_and_warmed_up(add_format, affine, tmp_path):
    add_format("numpy_affine", NUMPY_AFFINE.replace("OFFSET", "offset"))
    assert format_names() == ["numpy_affine", "saved_model"]
    versions = [published(affine, tmp_path).name for _ in range(3)]
    assert versions == ["1", "2", "3"]
    assert sorted(path.name for path in (tmp_path / "affine").iterdir()) == ["2", "3"]
    newest = tmp_path / "affine" / "3"
    assert sorted(path.name for path in newest.iterdir()) == ["affine.npz", "assets.extra"]
    with np.load(newest / "affine.npz") as weights:
        np.testing.assert_allclose(weights["slope"], [[1.0], [2.0]], rtol=1e-6)


def test_a_version_that_was_written_as_saved_model_can_be_written_in_another_format(add_format, affine, tmp_path):
    add_format("numpy_affine", NUMPY_AFFINE.replace("OFFSET", "offset"))
    version = publish(affine, base_path=tmp_path / "original", sample=SAMPLE, keep_versions=1)
    loaded = tf.saved_model.load(str(version))
    signature = loaded.signatures["serving_default"]
    served = ServedModel(answer=lambda inputs: signature(**inputs), inputs_spec=signature.structured_input_signature[1],
                         resources=[loaded])
    for name in ("numpy_affine", "saved_model"):
        copy = publish(served, base_path=tmp_path / name, sample=SAMPLE, keep_versions=1, format_name=name)
        answer = export_format(name).answer(copy, SAMPLE)["y"]["y"]
        np.testing.assert_allclose(answer, SAMPLE["x"] @ [[1.0], [2.0]] + 3.0, rtol=1e-6)


def test_a_version_of_it_that_answers_otherwise_is_not_published(add_format, affine, tmp_path):
    add_format("numpy_affine", NUMPY_AFFINE.replace("OFFSET", "offset + 1"))
    with pytest.raises(ExportError, match=r"output 'y' is 9.0 instead of 8.0 at index \(0, 0\)"):
        published(affine, tmp_path)
    assert list((tmp_path / "affine").iterdir()) == []


def test_its_own_reason_against_a_model_reaches_the_user_and_leaves_nothing(add_format, tmp_path):
    add_format("numpy_affine", NUMPY_AFFINE.replace("OFFSET", "offset"))
    served = ServedModel(answer=lambda inputs: {"y": inputs["other"]}, inputs_spec={"other": tf.TensorSpec([None], tf.float32)})
    with pytest.raises(ExportError, match="one input named x"):
        publish(served, base_path=tmp_path / "affine", sample={"other": np.ones([2], np.float32)}, keep_versions=1,
                format_name="numpy_affine")
    assert list((tmp_path / "affine").iterdir()) == []


@pytest.mark.parametrize(("declared", "remedy"), [
    ('    extra = "ray"', r"needs surely_not_installed, not installed here. Run `pip install .*ray.*`."),
    ("", "Run `pip install surely_not_installed`.")])
def test_what_a_format_lacks_is_told_with_the_line_that_installs_it(add_format, declared, remedy):
    text = NUMPY_AFFINE.replace("(ExportFormat):\n",
                                f'(ExportFormat):\n    required_modules = ("numpy", "surely_not_installed")\n{declared}\n')
    add_format("numpy_affine", text.replace("OFFSET", "offset"))
    with pytest.raises(ExportError, match=remedy):
        export_format("numpy_affine")


def test_an_unknown_format_is_told_with_the_nearest(tmp_path, affine):
    with pytest.raises(ExportError, match=r"'savedmodel' is no export format. Did you mean 'saved_model'\? Known: saved_model."):
        publish(affine, base_path=tmp_path, sample=SAMPLE, keep_versions=1, format_name="savedmodel")
    assert list(tmp_path.iterdir()) == []
