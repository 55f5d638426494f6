"""Hyperparameters that are lists or tuples: overridden on the command line, recorded, restarted, compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import experiments_manager
from expman import experiment_run
from expman.errors import UsageError
from expman.reports.compare.comparison_table import compare
from expman.reports.page.html_report import write_report
from expman.settings.hparams import parse_assignments
from tests.support.settings_files import write_experiment

LISTS = ('"label": "a"}', '"label": "a", "layers": [4, 2], "sizes": (3, 3)}')
MODEL = '''\
import keras


def model(data, n_outputs, hparams):
    assert isinstance(hparams["layers"], list) and isinstance(hparams["sizes"], tuple)
    for size in hparams["layers"]:
        data = keras.layers.Dense(size)(data)
    return {"prediction": keras.layers.Dense(n_outputs)(data)}
'''


def test_lists_are_overridden_recorded_restarted_and_compared(tmp_path, capsys):
    file = write_experiment(tmp_path, LISTS, model=MODEL)
    results = [experiments_manager.run(file, parse_assignments(assignments))
               for assignments in ([], ["layers=[5, 6]", "sizes=(1,)"])]
    folders = [Path(result["sessionFolder"]) for result in results]
    assert "layers4-2" in folders[0].name and "layers5-6" in folders[1].name
    assert json.loads((folders[1] / "experiment.json").read_text())["hparams"]["layers"]["value"] == [5, 6]
    assert experiment_run.restart(folders[1], num_epochs=3)["global_step"] == 18

    compare([str(tmp_path / "experiments")], csv_file=str(tmp_path / "table.csv"))
    assert "[5, 6]" in (tmp_path / "table.csv").read_text()
    assert "[5, 6]" in Path(write_report([str(tmp_path / "experiments")], file=str(tmp_path / "page.html"))).read_text()
    with pytest.raises(UsageError, match="layers must be a list"):
        experiments_manager.run(file, {"layers": "3"})
