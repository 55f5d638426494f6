"""The experiment that comes with the project opens in TensorBoard, and serves and answers as the README says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.example_files import ask_served_model, number_after
from tests.support.project import ROOT

FOLDER = ROOT / "experiments" / "1Dsignals_clustering" / "pretrained"


def test_it_is_small_and_knows_no_machine():
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    for path in files:
        assert not re.search(rb"/(home|root|tmp|work|Users|mnt)/", path.read_bytes()), path


def test_its_record_is_that_of_a_finished_experiment():
    identity = json.loads((FOLDER / "experiment.json").read_text())
    assert (ROOT / identity["settings_file"]).exists() and (ROOT / identity["model_file"]).exists()
    assert json.loads((FOLDER / "state.json").read_text())["status"] == "finished"


def test_its_projector_has_a_code_and_labels_for_each_window():
    lines = (FOLDER / "embeddings" / "metadata.tsv").read_text().splitlines()
    codes = np.fromfile(FOLDER / "embeddings" / "code.bytes", np.float32).reshape(-1, 8)
    assert lines[0].split("\t")[:2] == ["exercise", "subject"]
    assert len(lines) - 1 == len(codes) == 565 and np.isfinite(codes).all()


def test_it_is_served_and_answers_with_the_scores_of_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)  # where its data folders start
    copy = shutil.copytree(FOLDER, tmp_path / "pretrained")
    export = max((copy / "export" / "1Dsignals").iterdir(), key=lambda version: int(version.name))
    ask_served_model({"last_exported_model": str(export), "sessionFolder": str(copy)})
    printed = capsys.readouterr().out
    readme = (ROOT / "README.md").read_text()
    for kind in ("served model:", "principal components:"):
        assert number_after(printed, kind) == pytest.approx(number_after(readme, kind), abs=0.002)
    assert number_after(printed, "served model:") < 0.7 * number_after(printed, "principal components:")
    assert Path(copy, "signals_and_codes.png").stat().st_size > 50_000
