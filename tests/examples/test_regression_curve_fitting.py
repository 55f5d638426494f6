"""Curve fitting, trained briefly, reaches the noise and beats the mean."""

from __future__ import annotations

import numpy as np
import pytest

import experiments_manager
from tests.support.example_files import shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "regression" / "mysettings_curve_fitting.py"


@pytest.mark.parametrize(("add_noise", "noise_deviation", "margin"), [("True", 0.1, 0.01), ("False", 0.0, 0.03)])
def test_the_curve_is_fitted_up_to_its_noise(tmp_path, add_noise, noise_deviation, margin):
    file = shortened(tmp_path, FILE, ('"experiments/curve_fitting"', f'"{tmp_path}/curve"'), ("nbEpoch = 40", "nbEpoch = 15"))
    result = experiments_manager.run(file, {"addNoise": add_noise})
    x = np.random.default_rng(1).uniform(-1, 1, 1000)
    assert result["rmse"] < noise_deviation + margin
    assert result["rmse"] < np.std(np.square(x)) / 2
