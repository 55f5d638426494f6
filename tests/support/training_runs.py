"""Trainings that tests start, slow down, interrupt and read."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from pathlib import Path

import keras

from tests.support.processes import ForkedProcess, run_script, start_script

SLOW = ("return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)",
        "import time\n    wait = lambda x, y: (tf.py_function(lambda z: time.sleep(0.05) or z, [x], tf.float32), y)\n"
        "    return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size).map(wait).map("
        "lambda x, y: (tf.ensure_shape(x, [None, 3]), y))")
"""Replaces a line of the small experiment, so that its steps take long enough to be interrupted."""


class Interrupt(keras.callbacks.Callback):
    """Ends the training within its third epoch, after points that no checkpoint covers."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 16:
            raise KeyboardInterrupt


def start(file: Path) -> ForkedProcess:
    """Starts a training; what it prints and its errors are one stream."""
    return start_script("--usersettings", file, stderr=subprocess.STDOUT)


def wait_for_epoch(experiments: Path, epoch: int, process: ForkedProcess) -> Path:
    """Waits until the only experiment below a folder has completed some epochs; returns its folder."""
    while process.poll() is None:
        for file in experiments.glob("*/state.json"):
            if json.loads(file.read_text())["epoch"] >= epoch:
                return file.parent
        time.sleep(0.02)
    raise AssertionError(f"training ended with {process.returncode}")


def killed_within_an_epoch_and_restarted(experiments: Path, process: ForkedProcess) -> tuple[Path, str]:
    """Kills the only training below a folder within its third epoch, restarts it to its end; returns folder and log."""
    folder = wait_for_epoch(experiments, 2, process)
    while json.loads((folder / "state.json").read_text())["step_in_epoch"] == 0:
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert json.loads((folder / "state.json").read_text())["step_in_epoch"] > 0
    restarted = run_script("--restart_interrupted", "--model_dir", folder)
    assert restarted.returncode == 0, restarted.stderr
    return folder, restarted.stderr


def read_metrics(folder: str | Path) -> list[dict[str, str]]:
    with open(Path(folder) / "metrics.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def untimed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
