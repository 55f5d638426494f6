"""The two networks, trained briefly, draw clearer digits than a Gaussian of the principal components, and all ten of them."""

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

FILE = ROOT / "examples" / "generative" / "mysettings_gan_digits.py"


@pytest.mark.slow
def test_generated_digits_are_clearer_than_those_of_principal_components_and_of_all_classes(tmp_path, capsys):
    file = shortened(tmp_path, FILE, ('"experiments/gan_digits"', f'"{tmp_path}/runs"'), ("nbEpoch = 25", "nbEpoch = 4"))
    result = experiments_manager.run(file)
    ask_served_model(result)
    printed = capsys.readouterr().out

    digits = load_digits()
    images, _, classes, _ = train_test_split(digits.images.reshape(-1, 64).astype(np.float32) / 16, digits.target, test_size=0.2,
                                             stratify=digits.target, random_state=0)
    judge = LogisticRegression(max_iter=2000).fit(images, classes)
    components = PCA(6, random_state=0).fit(images)
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(6), np.cov(components.transform(images).T), 1000)
    baseline = 100 * np.mean(judge.predict_proba(np.clip(components.inverse_transform(drawn), 0, 1)).max(axis=1) > 0.8)

    latent = np.random.default_rng(0).normal(size=[1000, 16]).astype(np.float32)
    generated = local_answers(result, "generated", image=np.zeros([1000, 8, 8, 1], np.float32), latent=latent)
    local = judge.predict_proba(generated.reshape(1000, 64))
    clear = 100 * np.mean(local.max(axis=1) > 0.8)
    assert number_after(printed, "clear digits:") == pytest.approx(clear, abs=0.3)  # some lie at the border
    assert number_after(printed, "clear digits:") > baseline
    assert number_after(printed, "rarest digit:") > 1
    assert Path(result["sessionFolder"], "generated_digits.png").stat().st_size > 20_000
