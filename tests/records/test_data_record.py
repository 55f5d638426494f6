"""What an experiment records of its data, and what a restart says when they changed."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import threading
from pathlib import Path

import pytest

import experiments_manager
from expman import experiment_run
from expman.records.data_fingerprint import FingerprintCancelledError
from expman.records.data_record import data_recorded
from expman.records.experiment_folder import ExperimentFolder
from tests.support.settings_files import write_experiment

FILES = {"train/a.csv": b"1\n", "train/below/b c.csv": b"2\n", "val/c.csv": b"3\n"}
FROM_FILES = ('default_rng(0 if raw_data_files_folder == "train" else 1)',
              'default_rng(int(open(sorted(tf.io.gfile.glob(raw_data_files_folder + "/*.csv"))[0]).read()))')


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def experiment(tmp_path) -> Path:
    """The folder of a trained experiment whose data depend on the files of `FILES`."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    file = write_experiment(tmp_path, ('"train"\nraw_data_dir_val = "val"', f'"{tmp_path}/train"\nraw_data_dir_val = '
                                       f'"{tmp_path}/val"'), FROM_FILES)
    return Path(experiments_manager.run(file)["sessionFolder"])


def recorded_data(experiment: Path) -> dict:
    return json.loads((experiment / "experiment.json").read_text())["data"]


def test_an_experiment_records_its_files_and_first_batches(experiment, tmp_path):
    data = recorded_data(experiment)
    train = data["raw_data_dir_train"]
    assert (train["folder"], train["num_files"], train["num_bytes"]) == (str(tmp_path / "train"), 2, 4)
    assert data["raw_data_dir_val"]["num_files"] == 1
    assert train["hash"] != data["raw_data_dir_val"]["hash"]
    assert set(data["first_batches"]) == {"training data", "validation data"} and all(data["first_batches"].values())
    with open(experiment / "data_files.csv", newline="", encoding="utf-8") as stream:
        rows = [(row["setting"], row["name"], row["hash"]) for row in csv.DictReader(stream)]
    assert rows == [("raw_data_dir_train", "a.csv", hashlib.blake2b(b"1\n", digest_size=20).hexdigest()),
                    ("raw_data_dir_train", "below/b c.csv", hashlib.blake2b(b"2\n", digest_size=20).hexdigest()),
                    ("raw_data_dir_val", "c.csv", hashlib.blake2b(b"3\n", digest_size=20).hexdigest())]


def test_a_restart_on_the_same_data_says_nothing(experiment, caplog):
    before = recorded_data(experiment)
    experiment_run.restart(str(experiment), num_epochs=3)
    assert "data" not in " ".join(record.message for record in caplog.records if record.levelno >= logging.WARNING)
    assert recorded_data(experiment) == before


def test_a_restart_on_changed_data_names_the_files_and_goes_on(experiment, tmp_path, caplog):
    before = recorded_data(experiment)
    (tmp_path / "train" / "a.csv").write_text("7\n")
    (tmp_path / "train" / "below" / "b c.csv").unlink()
    for number in range(7):
        (tmp_path / "train" / f"n{number}.csv").write_text("0")
    result = experiment_run.restart(str(experiment), num_epochs=3)
    warnings = [record.getMessage() for record in caplog.records if "The data changed" in record.getMessage()]
    assert warnings == [
        "The data changed since the experiment started; training goes on with what they are now:\n"
        f"  raw_data_dir_train '{tmp_path}/train': 1 file changed (a.csv); 7 files added (n0.csv, n1.csv, n2.csv, n3.csv, "
        "n4.csv and 2 more); 1 file removed (below/b c.csv)\n"
        "  the first batch of the training data differs: other data, or a pipeline that the seed does not determine"]
    assert result["global_step"] == 18
    assert recorded_data(experiment) == before, "the record is that of the first start"


def test_a_restart_without_the_list_of_files_still_warns(experiment, tmp_path, caplog):
    (experiment / "data_files.csv").unlink()
    (tmp_path / "val" / "c.csv").write_text("4\n")
    experiment_run.restart(str(experiment), num_epochs=3)
    assert f"raw_data_dir_val '{tmp_path}/val': which files cannot be told" in caplog.text


def test_a_restart_without_a_record_says_so_and_writes_one(experiment, caplog):
    identity = json.loads((experiment / "experiment.json").read_text())
    data = identity.pop("data")
    (experiment / "experiment.json").write_text(json.dumps(identity))
    experiment_run.restart(str(experiment), num_epochs=3)
    assert "whether they changed since then cannot be told" in caplog.text
    assert recorded_data(experiment) == data


def test_without_a_seed_the_first_batches_are_not_compared(tmp_path, caplog):
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 1\nrandom_seed = None"))
    experiment = Path(experiments_manager.run(file)["sessionFolder"])
    assert recorded_data(experiment)["first_batches"] == {"training data": None, "validation data": None}
    experiment_run.restart(str(experiment), num_epochs=2)
    assert "The data changed" not in caplog.text


def write_identity(path: Path) -> ExperimentFolder:
    folder = ExperimentFolder(path / "experiment")
    folder.path.mkdir()
    folder.write_identity({"name": "a", "settings": {}})
    return folder


def test_training_goes_on_while_the_data_are_hashed_and_waits_at_its_end(tmp_path):
    folder, training_ran = write_identity(tmp_path), threading.Event()

    def hashes() -> dict[str, str]:
        assert training_ran.wait(60), "the training waited for the fingerprint"
        return {"training data": "abc"}

    with data_recorded(folder, data_folders={"raw_data_dir_train": ""}, first_batch_hashes=hashes):
        training_ran.set()
    assert folder.read_identity()["data"]["first_batches"] == {"training data": "abc"}
    assert folder.read_identity()["name"] == "a"


def test_a_failed_training_does_not_wait_for_the_data(tmp_path, monkeypatch):
    def hash_until_cancelled(path, *, cache, cancelled):
        assert cancelled.wait(60), "the failure did not end the hashing"
        raise FingerprintCancelledError

    monkeypatch.setattr("expman.records.data_record.fingerprint_folder", hash_until_cancelled)
    folder = write_identity(tmp_path)
    with pytest.raises(ZeroDivisionError), data_recorded(folder, data_folders={"raw_data_dir_train": "train"}, first_batch_hashes=dict):
        raise ZeroDivisionError
    assert "data" not in folder.read_identity()
