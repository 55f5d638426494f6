"""The table of patients: the ready-made model, trained as shipped, beats the mean and linear regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import experiments_manager
from tests.support.example_files import ask_served_model, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "regression" / "mysettings_diabetes_premade.py"


def patients(part: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Measurements and progression."""
    table = pd.read_csv(next((ROOT / "datasamples" / "diabetes" / part).glob("*.csv")))
    return table.drop(columns="progression"), table["progression"].to_numpy()


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def test_the_served_model_beats_linear_regression_and_scores_as_the_training_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    result = experiments_manager.run(shortened(tmp_path, FILE, ('"experiments/diabetes"', f'"{tmp_path}/runs"')))
    (known, progression), (unknown, truth) = patients("train"), patients("val")
    by_regression = root_mean_square(LinearRegression().fit(known, progression).predict(unknown) - truth)
    by_mean = root_mean_square(progression.mean() - truth)
    assert result["rmse"] < by_regression < by_mean

    ask_served_model(result)
    printed = capsys.readouterr().out
    assert number_after(printed, "root mean squared error of the served model:") == pytest.approx(result["rmse"], abs=0.01)
    assert f"the training mean: {by_mean:.2f}" in printed
    assert Path(result["sessionFolder"], "predicted_against_true.png").stat().st_size > 20_000
