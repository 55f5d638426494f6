"""What the plain files of an experiment say, whole or damaged, and where experiments are found."""

from __future__ import annotations

import json
import shutil

import pytest

from expman.errors import UsageError
from expman.records.experiment_folder import ExperimentFolder
from expman.reports.experiment_labels import short_labels
from expman.reports.experiment_records import read_record
from expman.reports.experiment_search import find_experiments, read_experiments
from tests.support.experiment_files import write_experiment_files, write_metrics, write_sweep


def change_json(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_record_of_a_real_training_agrees_with_what_it_returned(trained):
    record = read_record(trained["sessionFolder"])
    assert record.status == "finished" and record.errors == ()
    assert record.metrics == {name: trained[name] for name in ("loss", "mae", "rmse")}
    assert record.hparams == {"hiddenNeurons": 8, "learningRate": 0.05, "slope": 2.0, "addNoise": False, "label": "a"}
    assert record.versions and trained["last_exported_model"].endswith(f"/{record.versions[-1]}")
    assert record.duration_seconds > 0 and record.data_fingerprint


def test_training_without_a_live_process_is_interrupted(tmp_path):
    folder = write_experiment_files(tmp_path, status="training")
    assert read_record(folder).status == "interrupted"
    with ExperimentFolder(folder).locked_for_training():
        assert read_record(folder).status == "training"
    assert read_record(folder).status == "interrupted"


def test_experiment_that_starts_is_training_and_not_damaged(tmp_path):
    folder = write_experiment_files(tmp_path)
    (folder / "state.json").unlink()
    (folder / "metrics.csv").unlink()
    with ExperimentFolder(folder).locked_for_training():
        assert read_record(folder).status == "training"
    assert read_record(folder).status == "damaged"


@pytest.mark.parametrize(("file", "content", "told"), [
    ("experiment.json", '{"name": "x", "hpar', "experiment.json is damaged"),
    ("experiment.json", "[1, 2]", "experiment.json is damaged (it holds no JSON object)"),
    ("experiment.json", "[" * 100_000, "experiment.json is damaged"),
    ("experiment.json", '{"settings": 5, "hparams": [1]}', "experiment.json holds no settings"),
    ("experiment.json", None, "experiment.json is missing"),
    ("state.json", "", "state.json is damaged"), ("state.json", None, "state.json is missing"),
    ("metrics.csv", "", "metrics.csv is damaged (it is empty)"),
    ("metrics.csv", "step,loss\n1,2\n", "it has no column epoch and seconds"),
    ("metrics.csv", "epoch,seconds,loss\n1,0.5,0.25\n2,0.5\n", "line 3 has 2 cells instead of 3"),
    ("metrics.csv", "epoch,seconds,loss\n1,0.5,0.25\nx,0.5,1\n", "invalid literal"),
    ("metrics.csv", b"epoch,seconds\n1,\xff\xfe\n", "metrics.csv is damaged"),
    ("metrics.csv", None, "metrics.csv is missing")])
def test_damaged_file_makes_a_record_that_says_so(tmp_path, file, content, told):
    folder = write_experiment_files(tmp_path)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    record = read_record(folder)
    assert record.status == "damaged"
    assert told in record.reason


@pytest.mark.parametrize(("said", "state", "expected"), [
    ("pruned", "training", "pruned"), ("failed", "training", "failed"), ("finished", "finished", "finished"),
    ("running", "training", "interrupted")])
def test_status_of_a_trial_is_that_of_the_sweep_where_it_knows_better(tmp_path, said, state, expected):
    folder = write_experiment_files(tmp_path, status=state, trial={"number": 3, "status": said, "reason": "why"})
    assert read_record(folder).status == expected
    assert read_record(folder).reason == "why"


@pytest.mark.parametrize(("said", "expected"), [("waiting", "waiting"), ("failed", "failed"), ("running", "interrupted")])
def test_trial_that_never_started_has_the_hparams_of_the_sweep(tmp_path, said, expected):
    (tmp_path / "trial.json").write_text(json.dumps({"number": 1, "hparams": {"x": 2}, "status": said, "reason": ""}))
    record = read_record(tmp_path)
    assert (record.status, record.hparams, record.errors) == (expected, {"x": 2}, ())


def test_metrics_that_are_nan_are_read(tmp_path):
    folder = write_experiment_files(tmp_path, losses=[float("nan"), 0.5], metrics={"mae": [float("inf"), float("nan")]})
    table = read_record(folder).metrics_table
    assert str(table.points("val_loss")) == "([1, 2], [nan, 0.5])"
    assert read_record(folder).status == "finished"


def test_epochs_without_evaluation_have_no_point(tmp_path):
    folder = write_experiment_files(tmp_path)
    (folder / "metrics.csv").write_text("epoch,seconds,loss,val_loss\n1,0.5,1,\n2,0.25,0.5,0.75\n")
    table = read_record(folder).metrics_table
    assert table.points("val_loss") == ([2], [0.75]) and table.points("loss") == ([1, 2], [1, 0.5])
    assert table.points("val_mae") == ([], []) and table.total_seconds == 0.75


def test_data_fingerprint_is_equal_for_equal_data_only(tmp_path):
    same, twin, other = (read_record(write_experiment_files(tmp_path, number=number, data_hash=data))
                         for number, data in ((1, "aa"), (2, "aa"), (3, "ab")))
    assert same.data_fingerprint == twin.data_fingerprint != other.data_fingerprint
    unknown = write_experiment_files(tmp_path, number=4)
    change_json(unknown / "experiment.json", data=None)
    assert read_record(unknown).data_fingerprint == ""


def test_git_commit_tells_uncommitted_changes(tmp_path):
    clean, changed, none = (read_record(write_experiment_files(tmp_path, number=number, **given)).git_commit
                            for number, given in ((1, {}), (2, {"git_diff": "+ x"}), (3, {"commit": ""})))
    assert (clean, changed, none) == ("1a42e6cd", "1a42e6cd+", "")


def test_experiments_are_found_at_any_depth_and_once(tmp_path):
    first = write_experiment_files(tmp_path / "a" / "b" / "c")
    second = write_experiment_files(tmp_path / "a")
    (tmp_path / "a" / "link").symlink_to(second, target_is_directory=True)
    (tmp_path / "a" / ".hidden").mkdir()
    shutil.copytree(second, tmp_path / "a" / ".hidden" / "copy")
    assert find_experiments([tmp_path]) == sorted([first, second])
    assert find_experiments([tmp_path, first, tmp_path / "a" / "b", tmp_path / "a" / "link"]) == sorted([first, second])
    assert find_experiments([first]) == [first]


def test_folder_below_an_experiment_is_not_searched(tmp_path):
    folder = write_experiment_files(tmp_path)
    write_experiment_files(folder / "checkpoints")
    assert find_experiments([tmp_path]) == [folder]


def test_best_of_a_sweep_is_one_of_its_trials(tmp_path):
    sweep = write_sweep(tmp_path / "sweep")
    assert len(find_experiments([sweep])) == 12
    best, = find_experiments([sweep / "best"])
    assert read_record(best).trial["number"] == 5


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_folder_without_experiments_is_an_error_that_names_it(tmp_path, kind):
    folder = tmp_path / "here"
    if kind == "file":
        folder.write_text("")
    elif kind == "empty":
        folder.mkdir()
    with pytest.raises(UsageError, match="here.*(does not exist|is a file|holds no experiment)"):
        find_experiments([folder])


def test_labels_are_short_and_unique(tmp_path):
    write_sweep(tmp_path / "one", num_trials=2)
    write_experiment_files(tmp_path, number=3)
    labels = short_labels(read_experiments([tmp_path]))
    assert sorted(labels) == ["line 2026-11-01 00:03:00", "trial 1", "trial 2"]
    write_sweep(tmp_path / "two", num_trials=1)
    labels = short_labels(read_experiments([tmp_path]))
    assert len(set(labels)) == 4 and {"one/trial 1", "two/trial 1"} < set(labels)


def test_metrics_table_of_many_metrics_keeps_each_column(tmp_path):
    write_metrics(tmp_path, {"loss": [1, 2], "mae": [3, 4]})
    (tmp_path / "state.json").write_text('{"status": "finished", "epoch": 2}')
    table = read_record(tmp_path).metrics_table
    assert table.curves == ("loss", "val_loss", "val_mae") and table.points("val_mae") == ([1, 2], [3, 4])
