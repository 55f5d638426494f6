"""The table of --compare, on a terminal, in a pipe and as CSV."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from expman.errors import UsageError
from expman.reports.compare.comparison_table import compare
from tests.support.experiment_files import write_experiment_files, write_sweep
from tests.support.project import ROOT

COMPARE = "import sys; from expman.reports.compare.comparison_table import compare; compare(sys.argv[1:])"


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three experiments; the second has the lowest loss, the first the highest accuracy."""
    parent = tmp_path_factory.mktemp("three")
    for number, losses, accuracies, hparams in (
            (1, [0.5, 0.4], [0.7, 0.95], {"units": 4, "rate": 0.1}), (2, [0.3, 0.2], [0.5, 0.6], {"units": 8, "rate": 0.1}),
            (3, [0.9, 0.8], [0.8, 0.9], {"units": 16, "rate": 0.1})):
        write_experiment_files(parent, number=number, hparams=hparams, losses=losses, metrics={"accuracy": accuracies},
                               data_hash="aa" if number < 3 else "bb", versions=range(1, 2 * number))
    return parent


def printed(capsys, folders, **options) -> str:
    compare(folders, **options)
    return capsys.readouterr().out


def written(file) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def order(capsys, tmp_path, folder, **options) -> list[int]:
    """The minute in the names of the experiments, which is their number, from top to bottom."""
    compare([folder], csv_file=tmp_path / "table.csv", **options)
    capsys.readouterr()
    return [int(row["name"].split("-")[-2]) for row in written(tmp_path / "table.csv")]


def test_table_shows_what_differs_and_tells_what_does_not(capsys, three):
    output = printed(capsys, [three])
    head, _, first, second, third, *footer = output.splitlines()
    assert head.split() == ["name", "status", "loss", "units", "epoch", "duration", "accuracy", "versions", "data"]
    assert first.split()[1:-1] == ["finished", "0.2", "8", "2/2", "1s", "0.6", "1", "2", "3"]
    assert second.split()[1:5] == ["finished", "0.4", "4", "2/2"]
    assert third.split()[-3:-1] == ["1…5", "(5)"]
    assert first.split()[-1] == second.split()[-1] != third.split()[-1]
    assert "3 experiments, by loss, lowest first" in footer
    assert "the same in all: rate 0.1, git 1a42e6cd" in footer
    assert f"best: {three}/line_units8_rate0.1_2026-11-01--00-02-00" in footer


@pytest.mark.parametrize(("sort", "expected"), [
    (None, [2, 1, 3]), ("loss", [2, 1, 3]), ("loss:max", [3, 1, 2]), ("accuracy", [1, 3, 2]),
    ("metrics.accuracy:min", [2, 3, 1]), ("units", [1, 2, 3]), ("hparams.units:max", [3, 2, 1]),
    ("versions:max", [3, 2, 1]), ("name:max", [2, 1, 3])])
def test_order(capsys, tmp_path, three, sort, expected):
    assert order(capsys, tmp_path, three, sort=sort) == expected


def test_best_comes_first_by_the_mode_of_the_experiments(capsys, tmp_path):
    for number, gains in ((1, [1, 2]), (2, [5, 3]), (3, [4, 4])):
        write_experiment_files(tmp_path, number=number, losses=[1, 1], metrics={"gain": gains}, metric="gain", mode="max")
    assert order(capsys, tmp_path, tmp_path) == [2, 3, 1]
    assert order(capsys, tmp_path, tmp_path, sort="gain") == [2, 3, 1]


def test_experiments_without_the_metric_or_with_nan_come_last(capsys, tmp_path):
    write_experiment_files(tmp_path, number=1, losses=[float("nan")])
    write_experiment_files(tmp_path, number=2, losses=[0.5])
    (write_experiment_files(tmp_path, number=3, losses=[0.1]) / "state.json").write_text('{"status": "failed", "epoch": 1}')
    write_experiment_files(tmp_path, number=4, losses=[0.4])
    assert order(capsys, tmp_path, tmp_path) == [4, 2, 1, 3]
    assert order(capsys, tmp_path, tmp_path, sort="loss:max") == [2, 4, 1, 3]


def test_filter_and_columns(capsys, three):
    output = printed(capsys, [three], filter_expression="hparams.units >= 8", columns="status, units, metrics, batch_size")
    head, _, first, second, *footer = output.splitlines()
    assert head.split() == ["status", "units", "loss", "accuracy", "batch_size"]
    assert first.split() == ["finished", "8", "0.2", "0.6", "16"] and second.split()[1] == "16"
    assert "2 of 3 experiments, by loss, lowest first" in footer


def test_filter_that_selects_none_says_so(capsys, three):
    assert printed(capsys, [three], filter_expression="epoch > 99").startswith("0 of 3 experiments")


def test_csv_has_all_digits_and_the_folder(capsys, tmp_path):
    folder = write_experiment_files(tmp_path, losses=[0.123456789012, 0.5], hparams={"label": 'a "b", c', "units": None})
    compare([tmp_path], csv_file=tmp_path / "t.csv", columns=["metrics.loss", "label", "units", "git", "trial"])
    assert f"written: {tmp_path / 't.csv'}" in capsys.readouterr().out
    assert written(tmp_path / "t.csv") == [{"metrics.loss": "0.123456789012", "hparams.label": 'a "b", c', "hparams.units": "",
                                            "git": "1a42e6cd", "trial": "", "folder": str(folder)}]


def test_csv_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, three):
    (tmp_path / "folder.csv").mkdir()
    for file in (tmp_path / "nowhere" / "t.csv", tmp_path / "folder.csv"):
        with pytest.raises(UsageError, match="--csv .* cannot be written"):
            compare([three], csv_file=file)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder.csv"]


def test_damaged_experiment_is_shown_as_such_and_the_others_too(capsys, tmp_path):
    for number in (1, 2, 3, 4):
        write_experiment_files(tmp_path, number=number, losses=[number])
    broken = sorted(entry for entry in tmp_path.iterdir())
    (broken[0] / "state.json").write_text("{")
    (broken[1] / "metrics.csv").write_text("x")
    (broken[2] / "experiment.json").write_text('{"settings": {}, "hparams": 3, "git": 4, "data": [], "created": {}}')
    output = printed(capsys, [tmp_path])
    assert len(re.findall(r"^line\S+ +damaged ", output, re.MULTILINE)) == 2
    assert f"damaged: {broken[0]}: state.json is damaged (Expecting property name" in output
    assert f"damaged: {broken[1]}: metrics.csv is damaged (it has no column epoch and seconds)" in output
    assert "4 experiments" in output


@pytest.mark.parametrize("content", [
    {"settings": {"nbEpoch": "x", "earlystopping_metric": 5}, "hparams": {"a": 1}, "git": "x",
     "data": {"raw_data_dir_train": 3}},
    {"settings": [], "hparams": []}, {}])
def test_files_of_the_wrong_shape_do_not_end_the_comparison(capsys, tmp_path, content):
    folder = write_experiment_files(tmp_path)
    (folder / "experiment.json").write_text(json.dumps(content))
    (folder / "state.json").write_text(json.dumps(
        {"status": 3, "epoch": "x", "best_metrics": [1], "last_metrics": {"loss": "y"}}))
    assert "1 experiment" in printed(capsys, [tmp_path])


@pytest.mark.parametrize(("options", "told"), [
    ({"sort": "los"}, "--sort: no experiment has 'los'. Did you mean 'metrics.loss'?"),
    ({"sort": "loss:best"}, "must be min or max. Got 'best'"),
    ({"columns": "name,unit"}, "--columns: no experiment has 'unit'. Did you mean 'hparams.units'?"),
    ({"columns": " , "}, "--columns names no column"), ({"filter_expression": "los < 1"}, "Did you mean 'metrics.loss'?"),
    ({"filter_expression": "loss <"}, "--filter: invalid syntax")])
def test_wrong_option_is_an_error_with_the_likely_remedy(three, options, told):
    with pytest.raises(UsageError) as error:
        compare([three], **options)
    assert told in str(error.value)


def test_text_of_users_is_shown_as_it_is(capsys, tmp_path):
    write_experiment_files(tmp_path, hparams={"[red]x[/red]": "[bold]y", "z": 1})
    write_experiment_files(tmp_path, number=2, hparams={"[red]x[/red]": "ü漢", "z": 1})
    output = printed(capsys, [tmp_path])
    assert "[red]x[/red]" in output and "[bold]y" in output and "ü漢" in output


def terminal_output(folder, *, columns: int) -> str:
    """What the table looks like on a terminal of some width."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", COMPARE, str(folder)], stdout=follower, stderr=follower, cwd=ROOT,
                               env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"})
    os.close(follower)
    output = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    os.close(leader)
    assert process.wait() == 0, output
    return output.decode()


def test_terminal_gets_colours_short_names_and_only_what_fits(tmp_path):
    sweep = write_sweep(tmp_path / "sweep")
    output = terminal_output(sweep, columns=60)
    assert "\x1b[32mfinished" in output and "\x1b[31mfailed" in output and "trial 12" in output
    assert "left out for lack of room:" in output
    table = output.split("12 experiments")[0]
    assert "0001_line" not in table and "activation" not in table
    assert "activation" in terminal_output(sweep, columns=200).split("12 experiments")[0]


def test_compare_imports_neither_tensorflow_nor_numpy_nor_pandas_nor_bokeh(three):
    code = (f"{COMPARE}\nheavy = ('tensorflow', 'numpy', 'pandas', 'bokeh')\n"
            "print('imported', [name for name in heavy if name in sys.modules])")
    answer = subprocess.run([sys.executable, "-c", code, str(three)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.endswith("imported []\n")


def test_a_thousand_experiments_are_all_in_the_table(capsys, tmp_path):
    for number in range(1000):
        write_experiment_files(tmp_path, number=number, hparams={"units": number}, losses=[1 / (number + 1)], versions=())
    compare([tmp_path], csv_file=tmp_path / "t.csv")
    assert "1000 experiments, by loss, lowest first" in capsys.readouterr().out
    assert [row["hparams.units"] for row in written(tmp_path / "t.csv")] == [str(number) for number in range(999, -1, -1)]
