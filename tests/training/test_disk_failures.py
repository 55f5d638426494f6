"""A full disk, a folder that cannot be written and a file that cannot be read end a training cleanly."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

from expman import experiment_run
from expman.errors import ExperimentFolderError
from expman.records.experiment_folder import ExperimentFolder
from tests.support.processes import run_script
from tests.support.settings_files import write_experiment
from tests.support.training_runs import read_metrics

PIPELINE = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"

# The limit on a file's size makes the operating system itself refuse to write, as it does when a disk is full.
FULL_DISK = '''

class FillTheDisk(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))


def addon_callbacks():
    return [FillTheDisk()]
'''


def run(file: Path) -> subprocess.CompletedProcess[str]:
    return run_script("--usersettings", file)


def only_experiment(parent: Path) -> Path:
    return next((parent / "experiments").iterdir())


def assert_undamaged(folder: Path) -> None:
    """All that was written before the failure can still be read."""
    json.loads((folder / "state.json").read_text())
    assert [row["epoch"] for row in read_metrics(folder)][:1] == ["1"]
    for checkpoint in (folder / "checkpoints").glob("step-*"):
        reader = tf.train.load_checkpoint(str(checkpoint / "variables"))
        assert [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]
    for version in (folder / "export" / "line").glob("[0-9]*"):
        assert "serving_default" in tf.saved_model.load(str(version)).signatures


def test_a_full_disk_ends_the_training_with_its_reason_and_leaves_it_restartable(tmp_path):
    answer = run(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 4"), added=FULL_DISK))
    folder = only_experiment(tmp_path)
    assert answer.returncode == 1, answer.stderr
    assert "error: Training failed" in answer.stderr and "File too large" in answer.stderr and "Traceback" not in answer.stderr
    assert_undamaged(folder)
    settings = folder / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("if epoch == 1", "if False"))
    experiment_run.restart(str(folder))
    assert [row["epoch"] for row in read_metrics(folder)] == ["1", "2", "3", "4"]
    assert_undamaged(folder)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    block = '''

class Block(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        import glob, shutil
        for folder in glob.glob("EXPERIMENTS/*/checkpoints") if epoch == 1 else []:
            shutil.move(folder, folder + ".away")
            open(folder, "w").close()


def addon_callbacks():
    return [Block()]
'''.replace("EXPERIMENTS", str(tmp_path / "experiments"))
    answer = run(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 4"), added=block))
    folder = only_experiment(tmp_path)
    assert answer.returncode == 1 and "checkpoints" in answer.stderr and "error: Training failed" in answer.stderr
    state = json.loads((folder / "state.json").read_text())
    assert state["status"] == "failed" and "checkpoints" in state["stop_reason"]


def test_an_input_file_that_cannot_be_read_is_named(tmp_path):
    for number in range(90):
        (tmp_path / f"{number}.txt").write_text(f"{number}")
    (tmp_path / "70.txt").unlink()
    answer = run(write_experiment(tmp_path, (PIPELINE, f'''
    names = tf.data.Dataset.range(90).map(lambda number: tf.strings.join(["{tmp_path}/", tf.strings.as_string(number), ".txt"]))
    if shuffle_batches:
        dataset = tf.data.Dataset.zip(dataset, names.map(tf.io.read_file)).map(lambda pair, text: pair)
    return dataset.batch(batch_size)''')))
    assert answer.returncode == 1 and f"{tmp_path}/70.txt" in answer.stderr and "Traceback" not in answer.stderr
    assert json.loads((only_experiment(tmp_path) / "state.json").read_text())["status"] == "failed"


def test_a_second_training_in_the_same_folder_is_refused(tmp_path, trained):
    shutil.copytree(trained["sessionFolder"], tmp_path / "copy")
    with (ExperimentFolder.open(tmp_path / "copy").locked_for_training(),
          pytest.raises(ExperimentFolderError, match="is being trained by another process")):
        experiment_run.restart(str(tmp_path / "copy"), num_epochs=3)
    experiment_run.restart(str(tmp_path / "copy"), num_epochs=3)
