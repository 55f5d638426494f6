"""What --diff tells about two experiments."""

from __future__ import annotations

import json
import shutil

import pytest

from expman.errors import UsageError
from expman.reports.compare.experiment_diff import diff
from tests.support.experiment_files import PACKAGES, write_experiment_files


def section(text: str, title: str) -> list[str]:
    """The lines of one section."""
    lines = text.splitlines()
    start = lines.index(f"{title}:") + 1
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("  ")), len(lines))
    return [line[2:] for line in lines[start:end]]


def test_copy_of_a_real_experiment_does_not_differ(trained, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained["sessionFolder"], copy)
    first, second, _, same = diff(trained["sessionFolder"], copy).splitlines()
    assert first == f"--- {trained['sessionFolder']}" and second == f"+++ {copy}"
    assert same == ("no difference in: result, hparams, settings, settings file, model file, modules beside them, data, git, "
                    "packages, machine, curves")


def test_each_kind_of_difference_has_its_section(tmp_path):
    first = write_experiment_files(tmp_path, hparams={"units": 4, "rate": 0.1, "old": 1}, settings={"batch_size": 16})
    second = write_experiment_files(
        tmp_path, number=2, hparams={"units": 8, "rate": 0.1, "new": "x"}, settings={"batch_size": 32}, data_hash="bb",
        losses=[1.0, 0.5, 0.4, 0.3], commit="ffff", git_diff="+a\n+b", status="pruned", stop_reason="worse than others",
        packages={**PACKAGES, "keras": "3.15.2", "added": "1"})
    (second / "experiment_settings.py").write_text((first / "experiment_settings.py").read_text().replace("16", "32"))
    (second / "experiment_model.py").write_text("def model(data):\n    return {'prediction': 2 * data}\n")
    text = diff(first, second)
    assert section(text, "hparams") == ["units: 4 → 8", "old: 1 → (none)", "new: (none) → x"]
    assert section(text, "settings") == ["batch_size: 16 → 32", "nbEpoch: 3 → 4"]
    assert {"-batch_size = 16", "+batch_size = 32"} < set(section(text, "settings file"))
    assert {'-    return {"prediction": data}', "+    return {'prediction': 2 * data}"} < set(section(text, "model file"))
    assert section(text, "packages") == ["keras: 3.15.1 → 3.15.2", "added: (none) → 1"]
    assert section(text, "git") == ["commit: 1a42e6cd3b7f → ffff", "uncommitted changes: none → 2 lines"]
    assert section(text, "result")[:3] == ["status: finished → pruned", "reason: '' → worse than others", "epoch: 3/3 → 4/4"]
    assert section(text, "curves") == ["loss: 0.63 → 0.36 at epoch 3 (-42.9%), they part at epoch 3",
                                       "val_loss: 0.7 → 0.4 at epoch 3 (-42.9%), they part at epoch 3"]
    assert text.splitlines()[-1] == "no difference in: modules beside them, machine"


def test_data_differences_name_the_files(tmp_path):
    folders = [write_experiment_files(tmp_path, number=number, data_hash=data) for number, data in ((1, "aa"), (2, "bb"))]
    for folder, files in zip(folders, ({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 9, "d": 4})):
        rows = [f"{setting},{name},10,{digest}" for setting in ("raw_data_dir_train", "raw_data_dir_val")
                for name, digest in files.items()]
        (folder / "data_files.csv").write_text("\n".join(["setting,name,num_bytes,hash", *rows]))
    expected = "'data' with 2 files → 'data' with 2 files; 1 changed (b); 1 added (d); 1 removed (c)"
    assert section(diff(*folders), "data") == [f"raw_data_dir_train: {expected}", f"raw_data_dir_val: {expected}"]
    (folders[0] / "data_files.csv").write_text("x,y\n1,2\n")
    assert "which files cannot be told" in section(diff(*folders), "data")[0]


def test_curves_that_differ_by_rounding_alone_are_the_same(tmp_path):
    first = write_experiment_files(tmp_path, losses=[0.5, float("nan"), 0.25])
    second = write_experiment_files(tmp_path, number=2, losses=[0.5 + 1e-9, float("nan"), 0.25])
    assert "curves" in diff(first, second).splitlines()[-1]
    third = write_experiment_files(tmp_path, number=3, losses=[0.4, 0.3, 0.0], metrics={"mae": [1, 2, 3]})
    assert section(diff(first, third), "curves")[1:] == [
        "val_loss: 0.25 → 0 at epoch 3 (-100.0%), different from the first epoch on", "+ val_mae is in this experiment only"]


def test_damaged_files_are_told_and_the_rest_is_compared(tmp_path):
    first = write_experiment_files(tmp_path, hparams={"units": 1})
    second = write_experiment_files(tmp_path, number=2, hparams={"units": 2})
    (second / "metrics.csv").write_text("x")
    (first / "experiment_model.py").unlink()
    text = diff(first, second)
    assert section(text, "damaged files") == ["+ metrics.csv is damaged (it has no column epoch and seconds)"]
    assert section(text, "hparams") == ["units: 1 → 2"]
    assert section(text, "curves") == ["+ this experiment has no metrics.csv that can be read"]
    (first / "experiment.json").write_text("{")
    assert "units: (none)" in diff(first, second)


def test_long_difference_is_cut_with_the_command_for_the_rest(tmp_path):
    first, second = (write_experiment_files(tmp_path, number=number) for number in (1, 2))
    (second / "experiment_model.py").write_text("\n".join(f"line_{number} = 1" for number in range(5000)))
    lines = section(diff(first, second), "model file")
    assert len(lines) == 401 and lines[-1].startswith("… and ") and "diff -u" in lines[-1]


def test_modules_beside_the_settings_are_compared(tmp_path):
    folders = [write_experiment_files(tmp_path, number=number) for number in (1, 2)]
    for folder, text in zip(folders, ("x = 1\n", "x = 2\n")):
        (folder / "user_modules" / "parts").mkdir(parents=True)
        (folder / "user_modules" / "parts" / "losses.py").write_text(text)
    assert section(diff(*folders), "modules beside them") == ["parts/losses.py:", "@@ -1 +1 @@", "-x = 1", "+x = 2"]


def test_numbers_that_look_alike_are_shown_in_full(tmp_path):
    first = write_experiment_files(tmp_path, hparams={"rate": 0.123456, "units": 1})
    second = write_experiment_files(tmp_path, number=2, hparams={"rate": 0.1234561, "units": 1.0})
    assert section(diff(first, second), "hparams") == ["rate: 0.123456 → 0.1234561", "units: 1 → 1.0"]


def test_colours_are_those_of_a_diff(tmp_path):
    first = write_experiment_files(tmp_path)
    second = write_experiment_files(tmp_path, number=2)
    (second / "experiment_model.py").write_text("x\n")
    text = diff(first, second, is_coloured=True)
    for coloured in ("\033[32m  +x\033[0m", "\033[31m  -def model(data):\033[0m", "\033[1mmodel file:\033[0m"):
        assert coloured in text
    assert "\033" not in diff(first, second)


@pytest.mark.parametrize(("pick", "told"), [
    (lambda parent, one: (one, one), "are the same folder"), (lambda parent, one: (one, parent / "nowhere"), "does not exist"),
    (lambda parent, one: (parent, one), "takes the folders of two experiments")])
def test_wrong_folder_is_an_error(tmp_path, pick, told):
    folder = write_experiment_files(tmp_path)
    with pytest.raises(UsageError, match=told):
        diff(*pick(tmp_path, folder))


def test_state_of_another_shape_is_compared_too(tmp_path):
    first, second = (write_experiment_files(tmp_path, number=number) for number in (1, 2))
    (second / "state.json").write_text(json.dumps({"status": "failed", "epoch": None, "best_metrics": None}))
    assert "status: finished → failed" in section(diff(first, second), "result")
