"""`--evaluate`: the numbers of the training again, those of other data as NumPy has them, and a folder that stays as it is."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from expman.errors import ExperimentError
from expman.experiment_evaluation import evaluate
from expman.training.checkpoints import CheckpointStore
from expman.training.progress import TrainingProgress
from tests.support.settings_files import MODEL, write_experiment
from tests.support.training_runs import SLOW, start, wait_for_epoch

READS_FOLDER = ('    x = np.random.default_rng(0 if raw_data_files_folder == "train" else 1).normal(size=[90, 3])'
                '.astype(np.float32)\n',
                '    x = np.load(raw_data_files_folder + "/x.npy")\n')
BEST_IS_FIRST = ("nbEpoch = 2", "nbEpoch = 3\nearlystopping_metric = 'mae'\nearlystopping_mode = 'max'")


def write_data(folder: Path, *, seed: int, num_samples: int = 90) -> np.ndarray:
    folder.mkdir(parents=True)
    x = np.random.default_rng(seed).normal(size=[num_samples, 3]).astype(np.float32)
    np.save(folder / "x.npy", x)
    return x


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that reads files and a module of its own, and was best after its first epoch."""
    parent = tmp_path_factory.mktemp("evaluated")
    data = [write_data(parent / name, seed=seed) for seed, name in enumerate(("train", "val"))]
    assert len(data) == 2
    (parent / "layers_of_mine.py").write_text("UNITS = 8\n", encoding="utf-8")
    file = write_experiment(parent, READS_FOLDER, BEST_IS_FIRST, ('"train"', f'"{parent / "train"}"'),
                            ('raw_data_dir_val = "val"', f'raw_data_dir_val = "{parent / "val"}"'),
                            model=f"import layers_of_mine\n{MODEL}")
    folder = Path(experiments_manager.run(file)["sessionFolder"])
    assert json.loads((folder / "state.json").read_text())["best_step"] == 6 and (folder / "user_modules").is_dir()
    return folder


@pytest.fixture
def own(experiment: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be spoilt."""
    return Path(shutil.copytree(experiment, tmp_path / "copy"))


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
            for file in folder.rglob("*") if file.is_file() and not file.name.startswith("evaluation")}


def test_the_best_weights_give_the_recorded_numbers_to_the_bit_and_nothing_else_is_written(own, script):
    before = files_of(own)
    told = script("--evaluate", "--model_dir", own)
    assert told.returncode == 0, told.stderr
    assert "came out otherwise" not in told.stderr
    assert files_of(own) == before
    recorded = json.loads((own / "state.json").read_text())["best_metrics"]
    written = json.loads((own / "evaluation.json").read_text())
    assert written["metrics"] == written["recorded_best"] == recorded
    assert (written["epoch"], written["step"], written["num_samples"], written["weights"]) == (1, 6, 90, "averages")
    for name, value in recorded.items():
        assert re.search(rf"^{name} +{value:.6g} +{value:.6g}$", told.stdout, re.MULTILINE), told.stdout


def test_other_data_give_what_numpy_finds_in_the_answers_of_the_exported_model(own, tmp_path):
    x = write_data(tmp_path / "other", seed=5, num_samples=37)
    record = evaluate(own, data=str(tmp_path / "other"))
    best = own / json.loads((own / "state.json").read_text())["last_exported_model"]  # exported when it was best
    answers = tf.saved_model.load(str(best)).signatures["serving_default"](x=tf.constant(x))["prediction"].numpy()
    errors = answers - (2 * x.sum(axis=1, keepdims=True) + 1)
    expected = {"loss": np.mean(errors ** 2), "mae": np.mean(np.abs(errors)), "rmse": np.sqrt(np.mean(errors ** 2))}
    assert record["metrics"] == pytest.approx(expected, rel=1e-5)
    assert record["num_samples"] == 37 and not record["is_validation_data"]
    assert record["metrics"] != record["recorded_best"]
    (file,) = own.glob("evaluation_*.json")
    assert json.loads(file.read_text()) == record


def test_other_numbers_than_the_recorded_ones_are_told(own, caplog):
    for progress in own.glob("checkpoints/*/progress.json"):
        content = json.loads(progress.read_text())
        content["best_metrics"]["mae"] *= 2
        progress.write_text(json.dumps(content))
    with caplog.at_level("WARNING"):
        evaluate(own)
    assert "mae came out otherwise than in the training" in caplog.text


def test_without_a_checkpoint_it_says_what_to_wait_for(own):
    shutil.rmtree(own / "checkpoints")
    with pytest.raises(ExperimentError, match="has no checkpoint yet. Training writes one after its first epoch"):
        evaluate(own)


def test_a_damaged_checkpoint_is_named(own):
    (best,) = own.glob("checkpoints/step-000000006/variables.data*")
    best.write_bytes(best.read_bytes()[:40])
    with pytest.raises(ExperimentError, match="The best weights, those of step 6, cannot be read from .*step-000000006"):
        evaluate(own)


def test_absent_and_empty_data_are_told(own, tmp_path):
    with pytest.raises(ExperimentError, match="--data 'nowhere' does not exist"):
        evaluate(own, data="nowhere")
    write_data(tmp_path / "empty", seed=0, num_samples=0)
    with pytest.raises(ExperimentError, match="(?s)With --data .*empty as raw_data_dir_val: .*the validation data are empty"):
        evaluate(own, data=str(tmp_path / "empty"))


def test_data_that_the_pipeline_would_not_read_are_refused(own, tmp_path):
    settings = own / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("(batch_size, raw_data_files_folder, shuffle", "(batch_size, shuffle"))
    with pytest.raises(ExperimentError, match="--data has no effect: .*does not declare raw_data_files_folder"):
        evaluate(own, data=str(tmp_path))


@pytest.mark.parametrize("x", ["np.ones([90, 3], np.float32)", "np.random.normal(size=[90, 3]).astype(np.float32)"])
def test_a_pipeline_that_does_not_use_the_folder_gives_no_numbers_of_other_data(own, tmp_path, x):
    """Neither the old numbers, nor those of samples that are drawn anew."""
    settings = own / "experiment_settings.py"
    settings.write_text(settings.read_text().replace(READS_FOLDER[1], f"    x = {x}\n"))
    with pytest.raises(ExperimentError, match="get_input_pipeline_train_val does not use the folder that it is given"):
        evaluate(own, data=str(tmp_path))
    assert not list(own.glob("evaluation*"))


@pytest.mark.parametrize(("arguments", "message"), [
    (["--evaluate"], "needs --model_dir"),
    (["--evaluate", "--model_dir", "x", "--nbEpoch", "3"], "--nbEpoch goes with --restart_interrupted only"),
    (["--evaluate", "--model_dir", "x", "--port", "9000"], "--port goes with --start_server or --predict only"),
    (["--evaluate", "--model_dir", "x", "--predict_stream", "3"], "--predict_stream goes with --predict only"),
    (["--predict", "--model_dir", "x", "--data", "y"], "--data goes with --init or --evaluate only")])
def test_flags_that_do_not_go_together_are_told(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        experiments_manager.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_an_experiment_is_evaluated_while_it_is_trained(tmp_path):
    process = start(write_experiment(tmp_path, SLOW, ("nbEpoch = 2", "nbEpoch = 500")))
    try:
        folder = wait_for_epoch(tmp_path / "experiments", 1, process)
        records = [evaluate(folder) for _ in range(3)]
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert [record["metrics"] for record in records] == [record["recorded_best"] for record in records]
    assert records[0]["step"] < records[-1]["step"]


def test_checkpoints_that_a_training_replaces_are_read_again(tmp_path):
    """Each saved one is the best, so that the one before is soon removed; the variable holds its step."""
    written, read = (keras.Variable(np.zeros(20_000, np.float32)) for _ in range(2))
    writer, reader = (CheckpointStore(tmp_path, variables={"network": [variable]}) for variable in (written, read))
    is_over = threading.Event()

    def train() -> None:
        step = 0
        while not is_over.is_set():
            step += 1
            written.assign(np.full(20_000, step, np.float32))
            writer.save(TrainingProgress(step=step, best_step=step, best_metrics={"loss": float(step)}))

    training = threading.Thread(target=train)
    training.start()
    try:
        while not (tmp_path / "step-000000002").exists():
            pass
        for _ in range(100):
            progress = reader.restore_best()
            assert np.unique(read.numpy()).tolist() == [progress.best_step] == [progress.best_metrics["loss"]]
    finally:
        is_over.set()
        training.join()
