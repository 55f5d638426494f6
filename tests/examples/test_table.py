"""The table of cars, trained as shipped: beats linear regression, can be extended exactly, answers raw rows over gRPC and REST."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.linear_model import LinearRegression

import experiments_manager
from expman import experiment_run
from expman.records.experiment_folder import ExperimentFolder
from expman.reports.page.html_report import write_report
from tests.support.example_files import ask_served_model, local_answers, number_after, shortened
from tests.support.project import ROOT
from tests.support.rest_client import predict
from tests.support.serving_models import OfficialClient, free_port, running_endpoints
from tests.support.training_runs import read_metrics, untimed

FILE = ROOT / "examples" / "tabular" / "mysettings_table.py"
ROW = {"Cylinders": 8, "Displacement": 307, "Horsepower": 130, "Weight_in_lbs": 3504, "Acceleration": 12, "Year": "1970-01-01",
       "Origin": "USA"}


@pytest.fixture(scope="module")
def cars() -> tuple[pd.DataFrame, np.ndarray]:
    """All cars, and which of them validate."""
    frame = pd.read_csv(ROOT / "datasamples" / "cars" / "cars.csv")
    return frame, np.random.default_rng(0).random(len(frame)) < 0.25


@pytest.fixture(scope="module")
def trained_cars(tmp_path_factory) -> dict[str, Any]:
    """What training the example as shipped returned, and what it printed."""
    folder = tmp_path_factory.mktemp("cars")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.chdir(ROOT)
        result = experiments_manager.run(shortened(folder, FILE, ('"experiments/table"', f'"{folder}/runs"')))
    return {**result, "printed": printed.getvalue()}


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def test_the_example_is_short_and_beats_linear_regression_whose_score_is_told_and_recorded(trained_cars, cars):
    assert len(FILE.read_text(encoding="utf-8").splitlines()) <= 40
    frame, validates = cars
    features = pd.get_dummies(frame.drop(columns=["Name", "Miles_per_Gallon"]).assign(Year=frame["Year"].str[:4].astype(int)))
    features = features.fillna(features[~validates].mean()).astype(float)
    truth = frame["Miles_per_Gallon"]
    by_regression = root_mean_square(
        LinearRegression().fit(features[~validates], truth[~validates]).predict(features[validates]) - truth[validates])
    by_mean = root_mean_square(truth[~validates].mean() - truth[validates])

    baseline = ExperimentFolder(trained_cars["sessionFolder"]).read_identity()["baseline"]
    assert baseline["constant"]["rmse"] == pytest.approx(by_mean, rel=1e-4)
    assert baseline["linear"]["rmse"] == pytest.approx(by_regression, rel=0.01)
    assert (baseline["num_train_samples"], baseline["num_val_samples"], baseline["validates_on_all"]) == (305, 93, True)
    assert f"val_rmse {baseline['linear']['rmse']:.4g}" in trained_cars["printed"].split("epoch 1/")[0]
    assert trained_cars["rmse"] < 0.9 * by_regression


def test_the_report_shows_the_baselines_beside_the_network(trained_cars):
    folder = Path(trained_cars["sessionFolder"])
    page = Path(write_report([folder])).read_text(encoding="utf-8")
    baseline = ExperimentFolder(folder).read_identity()["baseline"]
    table = page[page.index('id="baselines"'):]
    table = table[:table.index("</section>")]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    cells = [re.sub(r"<[^>]+>", " ", row).split() for row in rows]
    assert cells[0][-3:] == ["loss", "rmse", "mean_absolute_error"]
    assert float(cells[1][-2]) == pytest.approx(baseline["constant"]["rmse"], rel=1e-3)
    assert float(cells[2][-2]) == pytest.approx(baseline["linear"]["rmse"], rel=1e-3)
    assert float(cells[3][-2]) == pytest.approx(trained_cars["rmse"], rel=1e-3)


def test_the_served_model_scores_as_the_training_said(trained_cars, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    ask_served_model(trained_cars)
    assert number_after(capsys.readouterr().out, "served model, 93 validation rows: rmse") == pytest.approx(
        trained_cars["rmse"], abs=0.001)


def test_raw_rows_are_answered_alike_over_grpc_rest_and_locally(trained_cars):
    rows = [ROW, {**ROW, "Horsepower": float("nan"), "Year": "", "Origin": "Atlantis"},
            {**ROW, "Year": "1982", "Weight_in_lbs": 2000.5}]
    arrays = {name: np.array([row[name] for row in rows], object if name in ("Year", "Origin") else np.float64)
              for name in ROW}
    local = local_answers(trained_cars, "prediction", **arrays)
    export = Path(trained_cars["last_exported_model"]).parent
    with running_endpoints(export, rest_port=0) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        over_rest = predict(endpoints.rest_port, {"instances": rows}).json()["predictions"]
        over_grpc = tf.make_ndarray(client.predict(arrays).outputs["prediction"])
    assert np.isfinite(local).all() and len(set(local.tolist())) == 3
    np.testing.assert_allclose(over_rest, local, rtol=1e-6)
    np.testing.assert_allclose(over_grpc, local, rtol=1e-6)


@pytest.mark.slow
def test_a_restart_goes_on_as_if_never_interrupted_with_the_statistics_of_the_start(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(ROOT)
    data = tmp_path / "cars.csv"
    data.write_bytes((ROOT / "datasamples" / "cars" / "cars.csv").read_bytes())

    def trained(name: str, epochs: int, baseline: bool) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return Path(experiments_manager.run(shortened(
            folder, FILE, ('"experiments/table"', f'"{folder}/runs"'), ('"datasamples/cars/cars.csv"', f'"{data}"'),
            ('"datasamples/cars"', f'"{data}"'),
            ("nbEpoch = 40", f"nbEpoch = {epochs}"), ("baseline = True", f"baseline = {baseline}")))["sessionFolder"])

    whole, part = trained("whole", 5, True), trained("part", 3, False)
    experiment_run.restart(part, num_epochs=5)
    assert untimed(read_metrics(part)) == untimed(read_metrics(whole))

    recorded = ExperimentFolder(part).read_identity()["data_statistics"]
    data.write_text(data.read_text(encoding="utf-8").replace(",130,", ",1300,"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        settings = experiment_run.load_experiment(ExperimentFolder(part))
    assert settings.functions["data_preprocess"].__self__.recorded_statistics() == tupled(recorded[0])
    assert "the training rows of 'Horsepower' are no longer those of the start of the experiment" in caplog.text


def tupled(value: Any) -> Any:
    """JSON's lists as the tuples that they were, but for the list of columns."""
    columns = [{name: tuple(each) if isinstance(each, list) else each for name, each in column.items()}
               for column in value["columns"]]
    return {**value, "columns": columns}


@pytest.mark.slow
def test_the_commands_of_the_readme_lead_from_the_file_to_a_served_answer(tmp_path):
    for entry in ROOT.iterdir():
        if entry.name not in ("experiments", ".git"):
            (tmp_path / entry.name).symlink_to(entry)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands_text = re.search(r"<!-- example: table -->\n```sh\n(.*?)```", readme, re.DOTALL).group(1)
    rest_port = free_port()
    commands_text = commands_text.replace("python ", f"{sys.executable} ").replace(
        "--rest_port 8501", f"--port {free_port()} --rest_port {rest_port}").replace("127.0.0.1:8501", f"127.0.0.1:{rest_port}")
    ended = subprocess.run(["bash", "-c", f"{commands_text}\nwait"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
                           check=False)
    assert "datasamples/cars/cars.csv: 398 rows, 305 to train on, 93 to validate on" in ended.stderr
    assert re.search(r"^Horsepower +number +4 +46 … 230 +number, normalised", ended.stderr, re.MULTILINE)
    answer = json.loads(re.search(r"\{\s*\"predictions\".*?\}", ended.stdout, re.DOTALL).group())
    promised = float(re.search(r"The answer is about ([\d.]+) miles", readme).group(1))
    assert answer["predictions"] == [pytest.approx(promised, abs=1.0)]
