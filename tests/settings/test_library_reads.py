"""Files that h5py, Keras and TensorFlow read beside the user's modules: kept, and found when the project is gone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from expman.errors import UserCodeError
from expman.internals import tensorflow_internals
from expman.settings import user_files
from expman.settings.loading import load_settings
from expman.settings.user_files import noticed_reads
from tests.support.processes import run_script, start_script
from tests.support.settings_files import line_of, write_experiment
from tests.support.training_runs import read_metrics, untimed

HERE = "from pathlib import Path\nHERE = Path(__file__).parent\n"
MODEL = f'''
import keras
{HERE}

def model(data, n_outputs, hparams):
    backbone = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh")])
    backbone.load_weights(HERE / "backbone.weights.h5")
    backbone.trainable = False
    code = backbone(data)
    return {{"code": code, "prediction": keras.layers.Dense(n_outputs)(code)}}
'''
ADDED = f'''
{HERE}
with tf.io.gfile.GFile(str(HERE / "names.txt")) as names:
    reference_labels = [names.read()]
'''
CLIENT = ('''        self.answers = []
''', '''        self.answers = []
        self.scale = float(HERE.joinpath("client", "scale.txt").read_text())
''')
SCALED = ("self.answers.append(", "self.answers.append(self.scale * ")
KEPT = {"backbone.weights.h5", "names.txt", "client/scale.txt"}


def write_project(folder: Path) -> Path:
    (folder / "client").mkdir(parents=True)
    backbone = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh")])
    backbone.save_weights(folder / "backbone.weights.h5")
    (folder / "names.txt").write_text("height")
    (folder / "client" / "scale.txt").write_text("1000")
    file = write_experiment(folder, CLIENT, SCALED, added=ADDED, model=MODEL)
    file.write_text(file.read_text().replace(str(folder / "experiments"), str(folder.parent / "experiments")))
    return file


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """An experiment whose project is gone."""
    folder = tmp_path_factory.mktemp("library_reads")
    done = run_script("--usersettings", write_project(folder / "project"))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "project")
    return next((folder / "experiments").iterdir())


def test_what_libraries_read_and_what_the_client_mentions_is_kept(experiment):
    kept = experiment / "user_modules"
    assert {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()} == KEPT


def test_a_training_goes_on_without_its_project(experiment, tmp_path):
    copy = shutil.copytree(experiment, tmp_path / experiment.name)
    done = run_script("--restart_interrupted", "--model_dir", copy, "--nbEpoch", "3")
    assert done.returncode == 0, done.stderr
    rows = read_metrics(copy)
    assert untimed(rows)[:2] == untimed(read_metrics(experiment)) and len(rows) == 3


def test_the_client_finds_its_files_without_the_project(experiment):
    with start_script("--start_server", "--model_dir", experiment, "--serving_engine", "embedded", "--port", "0",
                      stdout=subprocess.DEVNULL) as server:
        try:
            done = run_script("--predict", "--model_dir", experiment, "--predict_stream", "-1")
        finally:
            server.kill()
    assert done.returncode == 0, done.stderr
    newest = max((experiment / "export" / "line").iterdir(), key=lambda path: int(path.name))
    signature = tf.saved_model.load(str(newest)).signatures["prediction"]
    expected = [1000 * float(signature(x=tf.fill([1, 3], float(number)))["prediction"][0, 0]) for number in (1, 2, 3)]
    answers = [float(text) for text in re.search(r"answers \[(.*)\]", done.stdout)[1].split(",")]
    np.testing.assert_allclose(answers, expected, rtol=1e-3, atol=0.01)


def test_a_file_that_was_not_kept_is_told_with_the_setting_that_keeps_it(experiment, tmp_path):
    copy = shutil.copytree(experiment, tmp_path / experiment.name)
    (copy / "user_modules" / "backbone.weights.h5").unlink()
    done = run_script("--restart_interrupted", "--model_dir", copy, "--nbEpoch", "3")
    place = f"{copy / 'experiment_model.py'}:{line_of(copy / 'experiment_model.py', '    backbone.load_weights')}"
    assert done.returncode != 0 and place in done.stderr, done.stderr
    assert "put it back where it was, and name it in user_files" in done.stderr


def test_before_training_a_missing_file_is_not_told_as_one_that_was_not_kept(tmp_path):
    file = write_project(tmp_path / "project")
    settings = load_settings(file)
    (tmp_path / "project" / "backbone.weights.h5").unlink()
    with pytest.raises(UserCodeError) as caught:
        settings.call("model", data=keras.Input([3]), n_outputs=1, hparams=settings.hparams)
    assert "user_files" not in str(caught.value)


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    """A folder with a file of each kind."""
    folder = tmp_path_factory.mktemp("samples")
    network = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    network.save_weights(folder / "network.weights.h5")
    network.save(folder / "network.keras")
    network.export(folder / "exported", verbose=False)
    tf.train.Checkpoint(variable=tf.Variable(1.0)).write(str(folder / "checkpoint"))
    (folder / "words.txt").write_text("a\nb\n")
    return folder


CHECKPOINT = {"checkpoint.index", "checkpoint.data-00000-of-00001"}


@pytest.mark.parametrize(("read", "files"), [
    (lambda folder: keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]).load_weights(folder / "network.weights.h5"),
     {"network.weights.h5"}),
    (lambda folder: keras.models.load_model(folder / "network.keras"), {"network.keras"}),
    (lambda folder: keras.layers.StringLookup(vocabulary=str(folder / "words.txt")), {"words.txt"}),
    (lambda folder: tf.io.read_file(str(folder / "words.txt")), {"words.txt"}),
    (lambda folder: tf.function(lambda: tf.io.read_file(str(folder / "words.txt")))(), {"words.txt"}),
    (lambda folder: tf.io.gfile.GFile(str(folder / "words.txt")).read(), {"words.txt"}),
    (lambda folder: list(tf.data.TextLineDataset(str(folder / "words.txt"))), {"words.txt"}),
    (lambda folder: tf.train.Checkpoint(variable=tf.Variable(2.0)).read(str(folder / "checkpoint")), CHECKPOINT),
    (lambda folder: tf.train.load_checkpoint(str(folder / "checkpoint")), CHECKPOINT),
    (lambda folder: tf.saved_model.load(str(folder / "exported")),
     {"exported/saved_model.pb", "exported/variables/variables.index", "exported/variables/variables.data-00000-of-00001"}),
    (lambda folder: keras.Sequential([keras.Input([2]), keras.layers.Dense(1)]).save_weights(folder / "new.weights.h5"), set()),
], ids=["weights", "keras", "lookup", "read_file", "graph", "gfile", "lines", "checkpoint", "reader", "saved_model", "writing"])
def test_files_of_each_kind_are_noticed_inside_the_block_only(read, files, samples, monkeypatch):
    noticed: dict[Path, None] = {}
    monkeypatch.setattr(user_files, "_READ_FILES", noticed)
    with noticed_reads():
        read(samples)
    below = {str(path.relative_to(samples)) for path in noticed if path.is_relative_to(samples)}
    assert below >= files and (files or not below)
    noticed.clear()
    read(samples)
    assert not noticed


def test_a_tensorflow_that_does_not_tell_what_it_reads_trains_all_the_same(monkeypatch, samples):
    monkeypatch.setattr(tensorflow_internals, "MISSING", frozenset({tensorflow_internals._READS}))
    noticed: dict[Path, None] = {}
    monkeypatch.setattr(user_files, "_READ_FILES", noticed)
    with noticed_reads():
        tf.io.read_file(str(samples / "words.txt"))
    assert samples / "words.txt" not in noticed
