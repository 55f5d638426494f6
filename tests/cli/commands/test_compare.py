"""`--compare` hands all that the user asks for to the table."""

from __future__ import annotations

import csv

import experiments_manager
from tests.support.experiment_files import write_experiment_files


def test_the_table_is_filtered_sorted_cut_to_columns_and_written(tmp_path, capsys):
    for number, (neurons, loss) in enumerate(((4, 0.3), (8, 0.2), (16, 0.1), (32, 0.4)), start=1):
        write_experiment_files(tmp_path / "runs", number=number, session_name="line", hparams={"neurons": neurons},
                               losses=(1.0, loss))
    assert experiments_manager.main(["--compare", str(tmp_path / "runs"), "--sort", "hparams.neurons", "--filter",
                                     "hparams.neurons > 4 and metrics.loss < 0.35", "--columns", "hparams.neurons,metrics.loss",
                                     "--csv", str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[:2] for row in rows] == [["hparams.neurons", "metrics.loss"], ["8", "0.2"], ["16", "0.1"]]
    assert "2 of 4 experiments, by hparams.neurons" in capsys.readouterr().out


def test_an_unknown_column_is_an_error_of_usage(tmp_path, capsys):
    folder = write_experiment_files(tmp_path)
    assert experiments_manager.main(["--compare", str(folder), "--sort", "los"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
