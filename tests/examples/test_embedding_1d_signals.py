"""The autoencoder of signals, trained briefly, brings more back from eight numbers than as many principal components."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

import experiments_manager
from tests.support.example_files import ask_served_model, local_answers, number_after, shortened
from tests.support.project import ROOT

FILE = ROOT / "examples" / "embedding" / "mysettings_1D_signals.py"
DATA = ROOT / "datasamples" / "watch_exercises"
CHANNELS = ["ax", "ay", "az", "wx", "wy", "wz"]


def windows(part: str) -> np.ndarray:
    """Windows of 64 rows, 32 apart, of all recordings, float32 `[n, 64, 6]`."""
    tables = [pd.read_csv(file)[CHANNELS].to_numpy(np.float32) for file in sorted((DATA / part).glob("*.csv"))]
    return np.concatenate([np.lib.stride_tricks.sliding_window_view(table, 64, axis=0)[::32].swapaxes(1, 2) for table in tables])


@pytest.mark.slow
def test_eight_numbers_hold_more_than_principal_components_and_the_served_codes_are_the_local_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(FILE.parent)
    for module in FILE.parent.glob("*.py"):
        shutil.copyfile(module, tmp_path / module.name)
    result = experiments_manager.run(shortened(
        tmp_path, FILE, ('"experiments/1Dsignals_clustering"', f'"{tmp_path}/runs"'), ("nbEpoch = 15", "nbEpoch = 4"),
        ("num_epochs_per_decay = 3", "num_epochs_per_decay = 1"), ("average_decay = 0.99", "average_decay = 0.9")))
    training, held_out = windows("train"), windows("val")
    mean, deviation = (getattr(np.concatenate([pd.read_csv(file)[CHANNELS] for file in (DATA / "train").glob("*.csv")]), name)(axis=0)
                       for name in ("mean", "std"))
    known, unknown = (((part - mean) / deviation).reshape(len(part), -1) for part in (training, held_out))
    components = PCA(8, random_state=0).fit(known)
    by_components = float(np.mean(np.square(components.inverse_transform(components.transform(unknown)) - unknown)))
    assert result["loss"] < by_components

    ask_served_model(result)
    printed = capsys.readouterr().out
    answers = local_answers(result, "code_and_reconstruction", signals=held_out)
    errors = (answers[:, 8:].reshape(held_out.shape) - held_out) / deviation
    assert number_after(printed, "served model: reconstruction_error") == pytest.approx(np.mean(np.square(errors)), abs=1e-3)
    assert number_after(printed, "principal components: reconstruction_error") == pytest.approx(by_components, abs=2e-3)
    assert Path(result["sessionFolder"], "signals_and_codes.png").stat().st_size > 50_000
