"""The forecasting example, trained briefly, beats plain forecasts; its served forecasts score as local ones."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import experiments_manager
from tests.support.example_files import ask_served_model, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "timeseries" / "mysettings_timeseries_forecasting.py"
SERIES = ROOT / "datasamples" / "co2_weekly"
BRIEF = (("nbEpoch = 40", "nbEpoch = 12"), ("num_epochs_per_decay = 8", "num_epochs_per_decay = 2"), ("decay = 0.98", "decay = 0.9"))


@pytest.fixture(autouse=True)
def started_in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))


def example(folder: Path, *replacements: tuple[str, str]) -> Path:
    """The shortened settings file, with the modules that lie beside it."""
    for module in FILE.parent.glob("*.py"):
        shutil.copyfile(module, folder / module.name)
    return shortened(folder, FILE, ('"experiments/timeseries_forecasting"', f'"{folder}/runs"'), *replacements)


def past_and_future(part: str) -> tuple[np.ndarray, np.ndarray]:
    """All windows of 104 and 52 weeks of the training or the validation years."""
    values = pd.concat([pd.read_csv(file) for file in (SERIES / part).glob("*.csv")])["co2_ppm"].to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(values, 104 + 52)
    return windows[:, :104], windows[:, 104:]


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.slow
def test_a_brief_training_beats_the_plain_forecasts_and_the_served_model_scores_as_the_exported_one(tmp_path, capsys):
    result = experiments_manager.run(example(tmp_path, *BRIEF))
    past, future = past_and_future("val")
    year_before = past[:, -52:]
    baselines = {"last value": past[:, -1:], "a year before": year_before,
                 "a year before, plus growth": year_before + past[:, -1:] - past[:, -53:-52]}
    errors = {name: root_mean_square(forecast - future) for name, forecast in baselines.items()}
    assert result["rmse"] < 0.8 * min(errors.values())

    ask_served_model(result)
    printed = capsys.readouterr().out
    signature = tf.saved_model.load(result["last_exported_model"]).signatures["forecast"]
    forecast = past[:, -1:] + signature(past=tf.constant(past, tf.float32))["forecast"].numpy()
    assert number_after(printed, "served model:") == pytest.approx(root_mean_square(forecast - future), abs=1e-3)
    assert number_after(printed, "served model:") == pytest.approx(result["rmse"], abs=1e-3)
    for name, error in errors.items():
        assert number_after(printed, f"{name}:") == pytest.approx(error, abs=1e-3)
    assert (Path(result["sessionFolder"]) / "forecasts.png").stat().st_size > 50_000
    assert {file.name for file in (Path(result["sessionFolder"]) / "user_modules").iterdir() if file.suffix == ".py"} == {
        "forecast_picture.py", "plain_forecasts.py"}


def test_linear_autoregression_is_the_strongest_plain_forecast_and_uses_the_training_years_only(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FILE.parent)
    from plain_forecasts import plain_forecasts
    past, future = past_and_future("val")
    training_windows = np.concatenate(past_and_future("train"), axis=1)
    forecasts = plain_forecasts(past, training_windows=training_windows, period=52)
    # The same as one least-squares problem for all weeks, with the penalty as additional rows.
    known, wanted = (part - training_windows[:, 103:104] for part in np.split(training_windows, [104], axis=1))
    means = known.mean(axis=0), wanted.mean(axis=0)
    rows = np.concatenate([known - means[0], 10.0 * np.eye(104)]), np.concatenate([wanted - means[1], np.zeros([104, 52])])
    weights = np.linalg.lstsq(*rows, rcond=None)[0]
    expected = past[:, -1:] + (past - past[:, -1:] - means[0]) @ weights + means[1]
    np.testing.assert_allclose(forecasts["linear autoregression"], expected, atol=1e-6)
    errors = {name: root_mean_square(forecast - future) for name, forecast in forecasts.items()}
    assert min(errors, key=errors.get) == "linear autoregression"
    assert errors["linear autoregression"] == pytest.approx(0.643, abs=1e-3)


@pytest.mark.slow
def test_the_convolutional_network_learns_from_the_same_settings(tmp_path):
    result = experiments_manager.run(example(tmp_path, *BRIEF[1:], ("nbEpoch = 40", "nbEpoch = 4")), {
        "network": "temporal_convolutional_network", "learningRate": 0.01, "filters": 16, "weightDecay": 0.0})
    past, future = past_and_future("val")
    assert result["rmse"] < 0.75 * root_mean_square(past[:, -1:] - future)
