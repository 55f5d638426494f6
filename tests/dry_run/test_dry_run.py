"""`--check` tries all parts of an experiment, names the part that fails and why, and leaves nothing behind."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman.dry_run.batch_description import described_tensors
from expman.dry_run.check import Check, Finding
from expman.dry_run.checklist import CHECKS
from expman.dry_run.checks.falling_loss import falls
from expman.dry_run.dry_run import DryRun
from expman.dry_run.patches import Patch, patched, patches_of
from expman.dry_run.runner import run_dry
from expman.errors import CheckError
from expman.settings.loading import load_settings
from expman.training.checkpoints import CheckpointStore
from tests.support.project import ROOT
from tests.support.settings_files import line_of, write_experiment

NAMES = [check.name for check in CHECKS]
SAMPLES = "y = slope * x.sum(axis=1, keepdims=True) + 1"
BATCHES = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
POSTPROCESSING = ('input_data_name = "x"', 'input_data_name = "x"\n\n\ndef model_outputs_postprocessing_for_serving('
                  'model_outputs_dict):\n    return {"other": model_outputs_dict["prediction"]}\n')


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder with their contents, and its folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch):
    """Where temporary folders are made; that of a dry run must have gone (TensorFlow removes its own when Python ends)."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.glob("experiment_check_*")) == []


def verdicts(output: str) -> dict[str, str]:
    """The verdict of each check of a report, in its order."""
    lines = [line for line in output.splitlines() if line.startswith(tuple(NAMES))]
    return {name: line.removeprefix(name).split()[0] for line in lines for name in NAMES if line.startswith(f"{name}  ")}


def test_a_sound_experiment_passes_all_checks_and_leaves_nothing(tmp_path, capsys, temporary):
    (tmp_path / "own_layers.py").write_text("units = 4\n")
    file = write_experiment(tmp_path, ("import keras\n", "import keras\nimport own_layers\n"))
    before = tree(tmp_path)
    assert experiments_manager.main(["--check", "--usersettings", str(file), "--hparams", "slope=3"]) == 0
    assert tree(tmp_path) == before
    output = capsys.readouterr().out
    assert verdicts(output) == dict.fromkeys(NAMES, "ok") and list(verdicts(output)) == NAMES
    assert "slope=3.0" in output and "6 batches for training, 6 batches for validation" in output
    assert "training features float32[16, 3]: " in output and "standard deviation" in output
    assert "| answers [" in output  # Client_IO got the answer, and its finalize ran
    assert "41 trainable parameters" in output and "for all 2 epochs" in output
    assert output.splitlines()[-1].startswith("all 9 checks passed in ")


def test_the_digits_pass_all_checks_and_leave_nothing(tmp_path, script, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    here = tmp_path / "here"
    for folder in ("examples", "model_zoo"):
        shutil.copytree(ROOT / folder, here / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = tree(here)
    done = script("--check", "--usersettings", "examples/classification/mysettings_digits.py", cwd=here)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts(done.stdout) == dict.fromkeys(NAMES, "ok")
    assert "training features float32[32, 8, 8, 1]: 0 … 16" in done.stdout and "counts 0: " in done.stdout
    assert tree(here) == before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("failing", "replacement", "expected"), [
    ("settings", ("batch_size = 16\nnbEpoch = 2", "batch_size = '16'\nnbEpoch = 0"), "nbEpoch must be"),
    ("settings", ("nbEpoch = 2", "nbEpoch = 2\nused_gpu_IDs = [99]"), "used_gpu_IDs names GPU 99"),
    ("batches", (BATCHES, "return dataset.take(0).batch(batch_size)"), "the training data are empty"),
    ("batches", (BATCHES, "return open('/nowhere/data.csv')"), "FileNotFoundError"),
    ("forward and loss", (SAMPLES, f"{SAMPLES}\n    x[:, 0] = np.nan"), "its features hold 16 NaN"),
    ("forward and loss", ("tf.square(predictions - labels)", "tf.math.log(0.0 * predictions)"), "its values are finite: look for "
     "a logarithm"),
    ("forward and loss", ('served_head = "prediction"', 'served_head = "answer"'), "model must return an output named as "
     "served_head = 'answer'"),
    ("forward and loss", ("nbEpoch = 2", "nbEpoch = 2\nearlystopping_metric = 'f1'\nearlystopping_mode = 'max'"),
     "earlystopping_metric = 'f1' is none of the validation metrics: loss, mae, rmse"),
    ("loss falls", ('"learningRate": 0.05', '"learningRate": 1e-30'), "initial_learning_rate = 1e-30 is too small"),
    ("loss falls", ('"learningRate": 0.05', '"learningRate": 500.0'), "lower initial_learning_rate = 500"),
    ("loss falls", ("tf.reduce_mean(tf.square(predictions - labels))", "tf.reduce_mean(tf.sqrt(0.0 * predictions))"),
     "the loss or its gradient is not finite"),
    ("export", POSTPROCESSING, "must return an output named as served_head = 'prediction'. It returns: other."),
    ("export", ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None, 4], tf.float32)"), "the model cannot take the "
     "inputs that get_input_pipeline_serving declares"),
    ("serve and ask", ("return np.full([1, 3], idx, np.float32)", "return np.full([1, 5], idx, np.float32)"),
     "input 'x' must be float32 of shape [-1, 3] (-1: any size). Got float32 of shape [1, 5]."),
    ("serve and ask", ("if idx > 3:", "if idx > 0:"), "Return a first sample for index 1."),
    ("serve and ask", ("return features * 0.5", "return tf.ensure_shape(tf.numpy_function(lambda x: x, [features], "
                       "tf.float32), [None, 3])"), "PyFunc"),
    ("time and memory", (SAMPLES, f"{SAMPLES}\n    y[{{'train': 40}}.get(raw_data_files_folder, slice(0))] = np.nan\n"
                         "    shuffle_batches = False"), "The first tensor that is not finite: labels")])
def test_a_broken_experiment_fails_at_its_line_with_a_hint(tmp_path, capsys, temporary, failing, replacement, expected):
    file = write_experiment(tmp_path, replacement)
    before = tree(tmp_path)
    checks = [check for check in CHECKS if _is_needed(check, failing)]
    assert not run_dry(checks, settings_file=file, hparams=None)
    assert tree(tmp_path) == before
    output = capsys.readouterr().out
    assert verdicts(output) == {check.name: "FAILED" if check.name == failing else "ok" for check in checks}
    below = output.partition(f"\n{failing}")[2] or output
    assert expected in below and "Traceback (most recent call last):\n      File \"" + str(ROOT) not in below


def _is_needed(check: Check, failing: str) -> bool:
    """Whether a check must run so that another one can, or is that one."""
    required = next(known for known in CHECKS if known.name == failing).requires
    return check.name == failing or any(_is_needed(check, name) for name in required)


def test_all_problems_of_the_settings_are_told_at_once(tmp_path, capsys, temporary):
    file = write_experiment(tmp_path, ("batch_size = 16\nnbEpoch = 2", "batch_size = '16'\nnbEpoch = 0"))
    assert experiments_manager.main(["--check", "--usersettings", str(file)]) == 1
    output = capsys.readouterr().out
    assert "    " + f"{file}:{line_of(file, 'batch_size')}: batch_size must be" in output and "nbEpoch must be" in output
    assert verdicts(output) == {"settings": "FAILED"} | dict.fromkeys(NAMES[1:], "skipped")
    assert "1 failed, 8 skipped" in output


def test_a_failure_skips_what_depends_on_it_and_nothing_else(tmp_path, capsys, temporary):
    file = write_experiment(tmp_path, POSTPROCESSING, ('"learningRate": 0.05', '"learningRate": 1e-30'))
    assert experiments_manager.main(["--check", "--usersettings", str(file)]) == 1
    output = capsys.readouterr().out
    assert verdicts(output) == dict.fromkeys(NAMES, "ok") | {
        "loss falls": "FAILED", "export": "FAILED", "serve and ask": "skipped", "resizing": "skipped"}
    assert "needs 'export'" in output and "2 failed, 2 skipped" in output


def test_values_that_a_loss_masks_are_a_warning_only(tmp_path, capsys, temporary):
    masked = "tf.reduce_mean(tf.square(tf.where(tf.math.is_nan(labels), 0.0, predictions - labels)))"
    file = write_experiment(tmp_path, (SAMPLES, f"{SAMPLES}\n    y[:4] = np.nan"),
                            ("tf.reduce_mean(tf.square(predictions - labels))", masked))
    assert run_dry(CHECKS[:3], settings_file=file, hparams=None)
    assert "warning: validation labels hold 4 NaN" in capsys.readouterr().out


def test_client_io_that_raises_shows_the_users_lines_and_is_finalized(tmp_path, capsys, temporary):
    append = "        self.answers.append("
    file = write_experiment(tmp_path, (append, f"        self.answers = []\n        raise KeyError('scores')\n{append}"))
    assert experiments_manager.main(["--check", "--usersettings", str(file)]) == 1
    output = capsys.readouterr().out
    assert verdicts(output) == dict.fromkeys(NAMES, "ok") | {"serve and ask": "FAILED", "resizing": "skipped"}
    assert "Client_IO.decodeResponse raised" in output and "KeyError: 'scores'" in output and "| answers []" in output
    assert str(ROOT / "expman") not in output


def test_a_checkpoint_that_does_not_bring_the_state_back_fails(tmp_path, capsys, temporary, monkeypatch):
    monkeypatch.setattr(CheckpointStore, "restore_newest", lambda self, progress: None)
    checks = [check for check in CHECKS if _is_needed(check, "save and restore")]
    assert not run_dry(checks, settings_file=write_experiment(tmp_path), hparams=None)
    output = capsys.readouterr().out
    assert verdicts(output)["save and restore"] == "FAILED" and "variables differ after they were restored" in output


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: a process that a shell starts in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("sent", "ended_by", "code"), [("SIGINT", None, 130), ("SIGTERM", SystemExit, 143)])
def test_a_signal_ends_a_dry_run_without_leftovers(tmp_path, temporary, interruptible, sent, ended_by, code):
    file = write_experiment(tmp_path, ("return features * 0.5", "import os, signal\n    os.kill(os.getpid(), "
                                       f"signal.{sent})\n    return features * 0.5"))
    before = tree(tmp_path)
    arguments = ["--check", "--usersettings", str(file)]
    if ended_by is None:
        assert experiments_manager.main(arguments) == code
    else:
        with pytest.raises(ended_by) as end:
            experiments_manager.main(arguments)
        assert end.value.code == code
    assert tree(tmp_path) == before


def test_a_bug_shows_its_traceback_and_the_other_checks_go_on(capsys, temporary):
    def divide(run: DryRun) -> Finding:
        return Finding(str(1 / 0))

    checks = [Check("batches", divide), Check("export", lambda run: Finding("exported"))]
    assert not run_dry(checks, settings_file="none.py", hparams=None)
    output = capsys.readouterr().out
    assert verdicts(output) == {"batches": "FAILED", "export": "ok"}
    assert "    Traceback (most recent call last):" in output and "ZeroDivisionError" in output and "in divide" in output


def test_an_error_of_the_experiment_shows_its_message_alone(capsys, temporary):
    def fail(run: DryRun) -> Finding:
        raise CheckError("first line\nsecond line")

    assert not run_dry([Check("export", fail)], settings_file="none.py", hparams=None)
    assert capsys.readouterr().out.splitlines()[1:3] == ["    first line", "    second line"]


def test_patches_change_what_they_name_and_nothing_else(tmp_path):
    settings = load_settings(write_experiment(tmp_path))
    run = DryRun(settings_file=settings.file, hparams={}, temporary_folder=tmp_path / "away")
    run.settings = settings
    patches = patches_of(run)
    result = patched(settings, patches)
    names = {patch.name for patch in patches}
    assert result.workingFolder == str(tmp_path / "away") and all(patch.reason for patch in patches)
    assert {name for name, value in result.values.items() if value != settings.values[name]} <= names
    assert {name for name, value in result.functions.items() if value is not settings.functions[name]} <= names
    assert settings.workingFolder == str(tmp_path / "experiments")
    with pytest.raises(ValueError, match="batchsize"):
        patched(settings, [Patch("batchsize", 1, "a typing error")])


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("features", np.array([[1.5, np.nan], [np.inf, -2]], np.float32), ["features float32[2, 2]: -2 … 1.5, 1 NaN, 1 infinite",
     "warning: features hold 1 NaN, 1 infinite: training stops when they reach the loss"]),
    ("features", {"age": np.array([3, 3]), "id": np.array([b"a", b"b"])}, ["features 'age' int64[2]: 3 … 3", "warning: "
     "features 'age' are all 3: they tell nothing; check how they are read, and whether they are shuffled",
     "features 'id' string[2]: 2 different values"]),
    ("labels", np.array([2, 0, 2]), ["labels int64[3]: 0 … 2; counts 0: 1, 2: 2"]),
    ("labels", np.arange(100), ["labels int64[100]: 0 … 99; mean 49.5, standard deviation 28.87"]),
    ("labels", np.array([0.5, 1.5]), ["labels float64[2]: 0.5 … 1.5; mean 1, standard deviation 0.5"])])
def test_batches_are_described_with_their_oddities(name, value, expected):
    assert described_tensors(name, tf.nest.map_structure(tf.constant, value)) == expected


def test_noise_is_no_falling_loss():
    noise = np.random.default_rng(0).normal(scale=0.1, size=[200, 40])
    assert np.mean([falls(2 + row) for row in noise]) < 0.1
    assert all(falls(2 * 0.95 ** np.arange(40) + row) for row in noise)
    assert falls(1 - 1e-6 * np.arange(40)) and not falls([1.0] * 40)
    assert not falls([1.0, *np.linspace(900, 300, 39)])
