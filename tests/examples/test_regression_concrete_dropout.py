"""Curve fitting with doubt, trained briefly, beats the true curve with one noise level; the served doubt is the local one."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import experiments_manager
from tests.support.example_files import ask_served_model, local_answers, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "regression" / "mysettings_curve_fitting_concrete_dropout.py"


def negative_log_likelihood(y: np.ndarray, mean: np.ndarray, deviation: np.ndarray | float) -> float:
    return float(np.mean(0.5 * np.log(2 * np.pi * np.square(deviation)) + np.square((y - mean) / deviation) / 2))


def test_noise_and_ignorance_are_told_apart_and_the_served_answers_are_the_local_ones(tmp_path, capsys):
    file = shortened(tmp_path, FILE, ('"experiments/curve_fitting_concrete_dropout"', f'"{tmp_path}/runs"'),
                     ("nbEpoch = 30", "nbEpoch = 10"), ("num_epochs_per_decay = 8", "num_epochs_per_decay = 3"))
    result = experiments_manager.run(file)
    of_user = runpy.run_path(str(Path(result["sessionFolder"]) / "experiment_settings.py"))
    draw_samples, held_out_samples = of_user["draw_samples"], of_user["held_out_samples"]
    (_, y), (x, held_out_y) = draw_samples(500, seed=0), held_out_samples()
    mean_alone = negative_log_likelihood(held_out_y, y.mean(), y.std())
    one_noise_level = negative_log_likelihood(held_out_y, np.sin(1.5 * x), np.std(held_out_y - np.sin(1.5 * x)))
    assert result["negative_log_likelihood"] < one_noise_level < mean_alone

    ask_served_model(result)
    printed = capsys.readouterr().out
    mean, epistemic, aleatoric = local_answers(result, "prediction", x=x).T
    local = negative_log_likelihood(held_out_y[:, 0], mean, np.hypot(epistemic, aleatoric))
    # The served model draws dropout masks anew in each request.
    assert number_after(printed, "negative log-likelihood of 1000 held-out samples under") == pytest.approx(local, abs=0.02)
    assert np.corrcoef(aleatoric, 0.05 + 0.06 * x[:, 0])[0, 1] > 0.8
    assert Path(result["sessionFolder"], "curve_with_doubt.png").stat().st_size > 30_000
