"""The table of epochs is whole at each moment; a restart replaces what it computes again; a damaged one is told."""

from __future__ import annotations

import csv

import keras
import pytest

from expman.errors import ExperimentFolderError
from expman.training.callbacks.metrics_csv import MetricsCsv
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit
from tests.support.training_runs import read_metrics


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def trained_table(file, values, *, progress=None, **options):
    progress = progress or TrainingProgress()
    fit(MetricsCsv(file=file, progress=progress, **options), progress=progress, num_epochs=len(values), values=values)
    return rows_of(file)


def test_there_is_a_row_an_epoch_and_an_epoch_without_evaluation_leaves_its_cells_empty(tmp_path):
    rows = trained_table(tmp_path / "metrics.csv", [None, 3.0, None])
    assert list(rows[0]) == ["epoch", "step", "seconds", "learning_rate", "loss", "val_loss"]
    assert [(row["epoch"], row["step"], row["val_loss"]) for row in rows] == [("1", "4", ""), ("2", "8", "3.0"), ("3", "12", "")]
    assert all(float(row["learning_rate"]) == pytest.approx(0.1) and float(row["seconds"]) >= 0 for row in rows)


def test_a_restart_keeps_the_rows_up_to_its_step_and_computes_the_others_again(tmp_path):
    file = tmp_path / "metrics.csv"
    before = trained_table(file, [3.0, 2.0, 1.0])
    rows = trained_table(file, [3.0, 2.0, 9.0], progress=TrainingProgress(epoch=2, step=8))
    assert rows[:2] == before[:2] and [row["val_loss"] for row in rows] == ["3.0", "2.0", "9.0"]
    assert [row["step"] for row in rows] == ["4", "8", "12"]


def test_evaluations_within_epochs_have_rows_with_the_part_of_the_epoch(tmp_path):
    progress = TrainingProgress()

    def evaluate(batch, logs):
        progress.evaluated, progress.last_metrics, progress.evaluated_learning_rate = batch == 0, {"loss": 7.0}, 0.25

    for steps_per_epoch in (4, None):  # unknown at first, known at the end of the epoch
        table = MetricsCsv(file=tmp_path / f"{steps_per_epoch}.csv", progress=progress, has_parts=True,
                           steps_per_epoch=steps_per_epoch)
        progress.epoch = progress.step = 0
        fit(keras.callbacks.LambdaCallback(on_train_batch_end=evaluate), table, progress=progress, num_epochs=2)
        rows = rows_of(tmp_path / f"{steps_per_epoch}.csv")
        assert [row["epochs_done"] for row in rows] == ["0.25", "1", "1.25", "2"]
        assert [(row["val_loss"], row["learning_rate"]) for row in rows[::2]] == [("7.0", "0.25")] * 2


DAMAGES = {"cut within a row": "epoch,step,seconds,learning_rate,loss\n1,4,0.1,0.1,2.0\n2,8,0.1",
           "a row with more cells": "epoch,step,seconds,learning_rate,loss\n1,4,0.1,0.1,2.0,9,9\n",
           "no columns": "\n", "texts for numbers": "epoch,step,seconds,learning_rate,loss\none,four,0.1,0.1,2.0\n",
           "another table": "a,b\n1,2\n", "bytes": "epoch,step,seconds\n1,4,0.1\n\udcff"}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_table_is_told_and_left_as_it_is(tmp_path, content):
    file, progress = tmp_path / "metrics.csv", TrainingProgress(epoch=1, step=4)
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    before = file.read_bytes()
    if content == "\n":  # no row: nothing is lost
        fit(MetricsCsv(file=file, progress=progress), progress=progress)
        return
    with pytest.raises(ExperimentFolderError, match="metrics.csv is damaged .*Restore it from a copy, or remove it"):
        fit(MetricsCsv(file=file, progress=progress), progress=progress)
    assert file.read_bytes() == before


def test_a_table_that_was_removed_begins_where_the_training_goes_on(tmp_path):
    rows = trained_table(tmp_path / "metrics.csv", [3.0, 2.0, 1.0], progress=TrainingProgress(epoch=2, step=8))
    assert [row["epoch"] for row in rows] == ["3"]


def test_a_folder_that_cannot_be_written_ends_the_training(tmp_path):
    progress = TrainingProgress()
    with pytest.raises(OSError):
        fit(MetricsCsv(file=tmp_path / "gone" / "metrics.csv", progress=progress), progress=progress)


def test_a_real_training_has_the_numbers_that_it_returned(trained):
    rows = read_metrics(trained["sessionFolder"])
    assert [row["step"] for row in rows] == ["6", "12"]
    assert {"val_loss", "val_mae", "val_rmse"} <= set(rows[0])
    assert min(float(row["val_loss"]) for row in rows) == trained["loss"]
