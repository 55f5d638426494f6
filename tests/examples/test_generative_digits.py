"""The generator of digits, trained briefly, describes digits better than as many principal components, and draws clear ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import experiments_manager
from tests.support.example_files import ask_served_model, local_answers, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "generative" / "mysettings_vae_digits.py"
LATENT_SIZE = 6


@pytest.mark.slow
def test_digits_come_back_better_than_from_principal_components_and_new_ones_are_clear(tmp_path, capsys):
    file = shortened(tmp_path, FILE, ('"experiments/vae_digits"', f'"{tmp_path}/runs"'), ("nbEpoch = 25", "nbEpoch = 8"),
                     ("num_epochs_per_decay = 6", "num_epochs_per_decay = 3"))
    result = experiments_manager.run(file)
    ask_served_model(result)
    printed = capsys.readouterr().out

    digits = load_digits()
    images, held_out, classes, _ = train_test_split(digits.images.reshape(-1, 64) / 16, digits.target, test_size=0.2,
                                                    stratify=digits.target, random_state=0)
    components = PCA(LATENT_SIZE, random_state=0).fit(images)
    codes = components.transform(images)
    by_components = np.sqrt(np.mean(np.square(components.inverse_transform(components.transform(held_out)) - held_out)))
    latent = np.zeros([len(held_out), LATENT_SIZE], np.float32)
    reconstructed = local_answers(result, "reconstruction", image=(16 * held_out).reshape(-1, 8, 8, 1).astype(np.float32),
                                  latent=latent)
    local = np.sqrt(np.mean(np.square(reconstructed.reshape(len(held_out), 64) - held_out)))
    assert number_after(printed, "root mean squared error of the reconstructions:") == pytest.approx(local, abs=1e-4)
    assert local < by_components

    judge = LogisticRegression(max_iter=2000).fit(images, classes)
    drawn = np.random.default_rng(0).multivariate_normal(codes.mean(axis=0), np.cov(codes.T), 1000)
    clear = 100 * np.mean(judge.predict_proba(np.clip(components.inverse_transform(drawn), 0, 1)).max(axis=1) > 0.8)
    assert number_after(printed, "clear digits:") > clear
    assert Path(result["sessionFolder"], "generated_digits.png").stat().st_size > 20_000
