"""A table with words of many values and classes as target: trained, exported and asked by raw rows."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

import experiments_manager
from expman.cli.commands.check import check
from expman.errors import UserCodeError
from expman.records.experiment_folder import ExperimentFolder
from tests.support.project import ROOT
from tests.support.rest_client import predict
from tests.support.serving_models import running_endpoints

EXAMPLE = ROOT / "examples" / "tabular" / "mysettings_table.py"


def settings_of_visits(folder: Path, *, added: str = "") -> Path:
    """The example with a table of its own: whether a guest of one of 40 towns comes back depends on the town alone."""
    random = np.random.default_rng(0)
    towns = random.integers(0, 40, 800)
    frame = pd.DataFrame({"town": [f"town {town}" for town in towns], "nights": random.integers(1, 9, 800) / 2,
                          "comes back": np.where(towns % 3 == 0, "yes", np.where(towns % 3 == 1, "no", "per\"haps"))})
    frame.to_csv(folder / "visits.csv", index=False)
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (('"datasamples/cars/cars.csv", target="Miles_per_Gallon"', f'"{folder}/visits.csv", target="comes back"'),
                     ('"datasamples/cars"', f'"{folder}/visits.csv"'), ("experiments/table", f"{folder}/runs"),
                     ("../../model_zoo", f"{ROOT}/model_zoo"), ("nbEpoch = 40", "nbEpoch = 8"), ("0.003", "0.01")):
        assert old in text
        text = text.replace(old, new)
    file = folder / "mysettings.py"
    file.write_text(text + added, encoding="utf-8")
    return file


def test_classes_are_learnt_from_embedded_words_and_answered_by_name(tmp_path):
    result = experiments_manager.run(settings_of_visits(tmp_path))
    assert result["accuracy"] > 0.98
    frame = pd.read_csv(tmp_path / "visits.csv")
    validates = np.random.default_rng(0).random(800) < 0.25
    majority = DummyClassifier().fit(frame[~validates], frame["comes back"][~validates])
    baseline = ExperimentFolder(result["sessionFolder"]).read_identity()["baseline"]
    assert baseline["constant"]["accuracy"] == pytest.approx(majority.score(frame[validates], frame["comes back"][validates]))
    assert baseline["linear"]["accuracy"] > 0.98  # one-hot towns are all that it needs

    rows = [{"town": "town 3", "nights": 1.5}, {"town": "town 4", "nights": float("nan")}, {"town": "Atlantis", "nights": 2}]
    with running_endpoints(Path(result["last_exported_model"]).parent, rest_port=0) as endpoints:
        answers = predict(endpoints.rest_port, {"instances": rows}).json()["predictions"]
    assert [answer["prediction"] for answer in answers[:2]] == ["yes", "no"]
    assert answers[2]["prediction"] in ("no", "per\"haps", "yes")
    assert [sum(answer["probabilities"]) for answer in answers] == [pytest.approx(1, abs=1e-5)] * 3


def test_the_check_does_not_warn_of_missing_cells_that_preprocessing_fills(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert check(EXAMPLE)
    printed = capsys.readouterr().out
    assert "training features 'Horsepower' float64[32]" in printed and "NaN" in printed
    assert "warning" not in printed


def test_xla_is_refused_for_text_in_words(tmp_path, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(UserCodeError, match="useXLA = True has no use here: XLA knows no text"):
        experiments_manager.run(settings_of_visits(tmp_path, added="\nuseXLA = True\n"))
