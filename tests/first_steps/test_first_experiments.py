"""What --init writes for each kind of data passes --check at once, trains, serves and answers its own client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import experiments_manager
from expman.cli.commands.check import check
from expman.first_steps.first_steps import FirstSteps, write_first_steps
from expman.first_steps.kinds import all_kinds
from expman.settings.loading import load_settings
from tests.support import first_data
from tests.support.example_files import ask_served_model, number_after
from tests.support.project import ROOT

WRITERS = {
    "german.csv": first_data.write_german_table, "churn.csv": first_data.write_churn_table, "series.csv": first_data.write_series,
    "texts.csv": first_data.write_texts, "uneven": first_data.write_uneven_images, "split": first_data.write_split_images,
    "masks": first_data.write_masks}
CASES = [("tabular", "german.csv", "Preis (€)"), ("csv", "churn.csv", "churn"), ("images", "uneven", None),
         ("images", "split", None), ("timeseries", "series.csv", "Temp in °C"), ("segmentation", "masks", None),
         ("text", "texts.csv", "Laune")]


def first_steps(folder: Path, monkeypatch, like: str, data: str, target: str | None) -> FirstSteps:
    monkeypatch.chdir(folder)
    WRITERS[data](folder / data)
    return write_first_steps("mine", like=like, data=data, target=target)


def trained(folder: Path, *, num_epochs: int | None = None) -> dict:
    """Trains what was written, perhaps with fewer epochs."""
    file = folder / "mine" / "mysettings.py"
    if num_epochs is not None:
        text, num_replaced = re.subn(r"^nbEpoch = \d+", f"nbEpoch = {num_epochs}", file.read_text(encoding="utf-8"), flags=re.M)
        assert num_replaced == 1
        file.write_text(text, encoding="utf-8")
    return experiments_manager.run(file)


def test_each_kind_is_tried():
    assert {kind.name for kind in all_kinds()} <= {like for like, _, _ in CASES}


@pytest.mark.slow
@pytest.mark.parametrize(("like", "data", "target"), CASES)
def test_what_is_written_passes_the_check_at_once_from_any_folder(tmp_path, monkeypatch, capsys, like, data, target):
    first_steps(tmp_path, monkeypatch, like, data, target)
    monkeypatch.chdir("/")
    assert check(tmp_path / "mine" / "mysettings.py"), capsys.readouterr().out


@pytest.mark.parametrize(("like", "data", "target"), CASES)
def test_what_is_written_begins_with_source_command_and_time(tmp_path, monkeypatch, like, data, target):
    written = first_steps(tmp_path, monkeypatch, like, data, target)
    text = (tmp_path / "mine" / "mysettings.py").read_text(encoding="utf-8")
    assert text.startswith('"""mine: ') and f"\nSource: {tmp_path / data}: " in text
    assert re.search(r"^Command: .*experiments_manager.* --usersettings mine/mysettings\.py$", text, re.MULTILINE)
    assert re.search(r"^Time: about \d+ seconds", text, re.MULTILINE) and "DECIDE" in text
    for file in (tmp_path / "mine").glob("*.py"):
        compile(file.read_text(encoding="utf-8"), str(file), "exec")
        assert max(map(len, file.read_text(encoding="utf-8").splitlines())) <= 140
    readme = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# mine\n") and "--check --usersettings mine/mysettings.py" in readme
    assert all(sentence.removeprefix("DECIDE ") in readme for sentence in written.sentences)
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != data) == ["mine"]


@pytest.mark.slow
def test_a_table_of_numbers_with_commas_trains_and_answers_in_its_units(tmp_path, monkeypatch, capsys):
    first_steps(tmp_path, monkeypatch, "tabular", "german.csv", "Preis (€)")
    result = trained(tmp_path, num_epochs=10)
    assert Path(result["sessionFolder"]).parent == tmp_path / "mine" / "experiments"
    ask_served_model(result)
    served = float(re.search(r"validation rows: rmse ([\d.]+)", capsys.readouterr().out)[1])
    assert served == pytest.approx(result["rmse"], rel=1e-3) and 100 < served < 1000


def test_looking_at_data_needs_no_tensorflow(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / name)
    code = ("import sys\nfrom expman.first_steps.first_steps import write_first_steps\n"
            f"for number, (like, data, target) in enumerate({CASES!r}):\n"
            "    write_first_steps(f'mine_{number}', like=like, data=data, target=target)\n"
            "write_first_steps('digits')\nprint([name for name in ('tensorflow', 'keras') if name in sys.modules])\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.slow
def test_a_table_of_classes_with_missing_cells_learns_them(tmp_path, monkeypatch, capsys):
    """The class is yes above an age of 40; a ninth of the ages is missing."""
    written = first_steps(tmp_path, monkeypatch, "csv", "churn.csv", "churn")
    assert any("can be read as DD/MM/YYYY and as MM/DD/YYYY" in sentence for sentence in written.sentences)
    result = trained(tmp_path, num_epochs=20)
    assert result["accuracy"] >= 0.8
    ask_served_model(result)
    served = float(re.search(r"validation rows: accuracy ([\d.]+)", capsys.readouterr().out)[1])
    assert served == pytest.approx(result["accuracy"], abs=1e-3)


@pytest.mark.slow
def test_uneven_images_are_told_apart_and_the_broken_one_is_left_out(tmp_path, monkeypatch, capsys):
    written = first_steps(tmp_path, monkeypatch, "images", "uneven", None)
    assert "There are 43 images, in colour, 20 to 85 pixels high and 28 to 80 wide." in written.sentences
    assert any("broken.png" in sentence for sentence in written.sentences)
    result = trained(tmp_path, num_epochs=15)
    assert result["accuracy"] >= 0.7
    ask_served_model(result)
    assert number_after(capsys.readouterr().out, "accuracy of the served model") == pytest.approx(result["accuracy"], abs=1e-3)


@pytest.mark.slow
def test_a_series_is_forecast_better_than_by_its_last_value(tmp_path, monkeypatch, capsys):
    written = first_steps(tmp_path, monkeypatch, "timeseries", "series.csv", "Temp in °C")
    assert any("6 missing cells become the mean" in sentence for sentence in written.sentences)
    result = trained(tmp_path, num_epochs=15)
    ask_served_model(result)
    served, last = re.search(r"served model ([\d.]+), last value ([\d.]+)", capsys.readouterr().out).groups()
    assert float(served) == pytest.approx(result["rmse"], rel=1e-2) and float(served) < 0.5 * float(last)


def test_no_window_of_a_series_reaches_into_the_other_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("t,y\n" + "".join(f"d{row},{row}\n" for row in range(400)))
    write_first_steps("mine", like="timeseries", data="s.csv")
    settings = load_settings(tmp_path / "mine" / "mysettings.py")
    pipeline = settings.functions["get_input_pipeline_train_val"]
    parts = []
    for is_training in (True, False):
        batches = pipeline(batch_size=64, raw_data_files_folder=settings.raw_data_dir_train, shuffle_batches=is_training)
        parts.append(np.concatenate([np.concatenate([x[..., 0], y], axis=1) for x, y in batches.as_numpy_iterator()]))
    assert all((np.diff(part, axis=1) == 1).all() for part in parts)
    assert parts[0].max() < parts[1].min() and parts[1].max() == 399


def test_files_of_a_series_are_read_like_one_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, start in (("a", 0), ("b", 1000)):
        (tmp_path / f"{name}.csv").write_text("t,y\n" + "".join(f"d{row},{start + row}\n" for row in range(100)))
    write_first_steps("mine", like="timeseries", data=".")
    settings = load_settings(tmp_path / "mine" / "mysettings.py")
    _, labels = next(settings.functions["get_input_pipeline_train_val"](
        batch_size=1000, raw_data_files_folder=settings.raw_data_dir_val, shuffle_batches=False).as_numpy_iterator())
    assert {99, 1099} <= set(labels[:, -1].astype(int).tolist()) and len(labels) % 2 == 0


def test_numbers_of_masks_become_places_of_classes(tmp_path, monkeypatch):
    first_steps(tmp_path, monkeypatch, "segmentation", "masks", None)
    settings = load_settings(tmp_path / "mine" / "mysettings.py")
    assert settings.n_outputs == 2
    _, labels = next(settings.functions["get_input_pipeline_train_val"](
        batch_size=4, raw_data_files_folder=settings.raw_data_dir_train, shuffle_batches=False).as_numpy_iterator())
    assert set(np.unique(labels)) == {0, 1}


@pytest.mark.parametrize("place", ["tables", ".."])
def test_data_below_the_current_folder_move_with_it_others_are_named_in_full(tmp_path, monkeypatch, place):
    current = tmp_path / "current"
    (current / place).mkdir(parents=True, exist_ok=True)
    data = current / place / "cars.csv"
    data.write_bytes((ROOT / "datasamples" / "cars" / "cars.csv").read_bytes())
    monkeypatch.chdir(current)
    write_first_steps("mine", like="tabular", data=f"{place}/cars.csv", target="Origin")
    moved = current.rename(tmp_path / "moved")
    assert load_settings(moved / "mine" / "mysettings.py").n_outputs == 3


def test_a_channel_that_is_constant_but_for_noise_is_not_blown_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"d{row},{row % 12 + row % 7 / 3:.4f},0.1,{row % 3 + 1}e-320\n" for row in range(300))
    (tmp_path / "s.csv").write_text(f"t,y,same,tiny\n{rows}")
    write_first_steps("mine", like="timeseries", data="s.csv", target="y")
    found = re.search(r"^DEVIATIONS = \[(.*)\]", (tmp_path / "mine" / "mysettings.py").read_text(encoding="utf-8"), flags=re.M)
    values = np.loadtxt(tmp_path / "s.csv", delimiter=",", skiprows=1, usecols=1)
    np.testing.assert_allclose([float(number) for number in found[1].split(",")], [values.std(), 1, 1], rtol=1e-3)


def test_a_mean_far_above_the_deviation_is_written_with_the_digits_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"d{row},{123456.7 + row % 12 / 10:.1f},{'' if row == 9 else -98765.4 + row % 3},7.25\n" for row in range(300))
    (tmp_path / "s.csv").write_text(f"t,y,z,same\n{rows}")
    write_first_steps("mine", like="timeseries", data="s.csv", target="y")
    text = (tmp_path / "mine" / "mysettings.py").read_text(encoding="utf-8")
    values = np.genfromtxt(tmp_path / "s.csv", delimiter=",", skip_header=1, usecols=(1, 2, 3))
    for name in ("MEANS", "FILLS"):
        written = re.search(rf"^{name} = \[(.*)\]", text, flags=re.M)[1].split(",")
        assert np.abs(np.array(written, float) - np.nanmean(values, axis=0)).max() < 1e-3
