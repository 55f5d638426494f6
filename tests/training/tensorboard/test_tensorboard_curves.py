"""What the real TensorBoard shows of a training that was interrupted: curves without zigzag, and its hyperparameters."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from expman import experiment_run
from tests.support.settings_files import write_experiment
from tests.support.tensorboard_server import LONGEST_WAIT_SECONDS, read_json, tensorboard
from tests.support.training_runs import read_metrics


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """The folder of an experiment of 4 epochs with 6 steps each, interrupted in step 16 and restarted from step 12."""
    folder = tmp_path_factory.mktemp("interrupted")
    file = write_experiment(folder, ("nbEpoch = 2", "nbEpoch = 4"), added="""

def addon_callbacks():
    from tests.support.training_runs import Interrupt
    return [Interrupt()]
""")
    with pytest.raises(KeyboardInterrupt):
        experiment_run.train(file)
    experiment = next((folder / "experiments").iterdir())
    settings = experiment / "experiment_settings.py"
    settings.write_text(settings.read_text().replace("return [Interrupt()]", "return []"))
    time.sleep(1)  # TensorBoard sorts the event files by the second in which they were begun
    experiment_run.restart(str(experiment))
    return experiment


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast loader", "plain loader"])
def address(interrupted, tmp_path_factory, request):
    with tensorboard(interrupted, tmp_path_factory.mktemp("log") / "log.txt", f"--load_fast={request.param}") as address:
        yield address


def scalars(address: str, run: str, tag: str, wanted: int) -> list[tuple[int, float]]:
    """(step, value) of the points of a curve, once TensorBoard has read as many as wanted."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        if tag in read_json(address, "plugin/scalars/tags").get(run, {}):
            points = read_json(address, f"plugin/scalars/scalars?{urlencode({'run': run, 'tag': tag})}")
            if len(points) >= wanted or time.monotonic() > deadline:
                return [(step, value) for _, step, value in points]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_training_curve_has_each_step_once_and_in_order(address):
    assert [step for step, _ in scalars(address, "logs/train", "loss", 24)] == list(range(1, 25))


def test_the_validation_curve_has_each_evaluation_once(address, interrupted):
    points = scalars(address, "logs/validation", "mae", 4)
    assert [step for step, _ in points] == [6, 12, 18, 24]
    assert [value for _, value in points] == pytest.approx([float(row["val_mae"]) for row in read_metrics(interrupted)])


def test_the_hparams_tab_has_the_experiment_with_its_metrics(address, interrupted):
    scalars(address, "logs/validation", "mae", 4)
    experiment = read_json(address, "plugin/hparams/experiment", {"experimentName": ""})
    assert {info["name"] for info in experiment["hparamInfos"]} == {"hiddenNeurons", "learningRate", "slope", "addNoise", "label"}
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} >= {"loss", "mae", "rmse"}
    columns = [{"metric": info["name"], "order": "ORDER_UNSPECIFIED"} for info in experiment["metricInfos"]]
    groups = read_json(address, "plugin/hparams/session_groups", {
        "experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": columns, "startIndex": 0, "sliceSize": 10})["sessionGroups"]
    assert len(groups) == 1 and groups[0]["hparams"]["hiddenNeurons"] == 8
    last = {value["name"]["tag"]: value["value"] for value in groups[0]["metricValues"]}
    assert last["mae"] == pytest.approx(float(read_metrics(interrupted)[-1]["val_mae"]))
