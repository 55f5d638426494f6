"""A tracker's logger is told of each epoch and each evaluation, when all of it is on the disk."""

from __future__ import annotations

import csv

import keras
import pytest

from expman.training.callbacks.metrics_csv import MetricsCsv
from expman.training.callbacks.tracker_logging import TrackerLogging
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


def test_the_row_of_an_epoch_is_on_the_disk_when_the_logger_is_told(tmp_path):
    progress, seen = TrainingProgress(), []

    def log():
        with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as stream:
            seen.append([row["val_loss"] for row in csv.DictReader(stream)])

    fit(MetricsCsv(file=tmp_path / "metrics.csv", progress=progress), TrackerLogging(log=log, progress=progress),
        progress=progress, values=[3.0, None, 1.0])
    assert seen == [["3.0"], ["3.0", ""], ["3.0", "", "1.0"]]


@pytest.mark.parametrize(("batches", "expected"), [([], 3), ([0, 2], 9)])
def test_it_is_told_once_an_epoch_and_once_an_evaluation_within_it(batches, expected):
    progress, calls = TrainingProgress(), []
    evaluate = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(progress, "evaluated", batch in batches))
    fit(evaluate, TrackerLogging(log=lambda: calls.append(progress.step), progress=progress), progress=progress)
    assert len(calls) == expected
