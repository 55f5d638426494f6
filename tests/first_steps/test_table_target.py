"""A target is numbers or classes, and the parts that are drawn can be learnt and measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_pipelines.table.reading import TableCells, TableFormat
from data_pipelines.table.splitting import split_rows
from expman.errors import UsageError
from expman.first_steps.table_target import split_of, target_column

FORM = TableFormat()


def target_of(words: list[str]):
    return target_column("--data t.csv", pd.Series(words, name="y", dtype=object), FORM)


@pytest.mark.parametrize(("words", "task", "is_sure"), [
    (["1.5", "2", "3.25", "4"], "regression", True), (["no", "yes"] * 3, "classification", True),
    (["0", "1"] * 5, "classification", False),
    ([str(number) for number in range(12)], "regression", True), (["1", "2", "3"], "regression", True),
    (["a", "b", "1"] * 4, "classification", True), (["1,000", "2,000"] * 4, "classification", True)])
def test_numbers_are_predicted_and_words_told_apart(words, task, is_sure):
    found = target_of(words)
    assert (found.task, found.is_sure, found.num_missing) == (task, is_sure, 0)


def test_marks_of_missing_numbers_are_left_out_with_empty_cells():
    found = target_of(["1.5", "?", "", "2.5", "3", "4", "5", "6", "7"])
    assert (found.task, found.missing_words, found.num_missing) == ("regression", ["?"], 2)


@pytest.mark.parametrize(("words", "message"), [
    (["", ""], "is missing in all rows"), (["a", "a"], "is 'a' in all rows: there is nothing to learn"),
    ([f"name {number}" for number in range(10)], "10 different words in 10 rows.*no classes and no numbers"),
    (["1", "2.5", "3", "4", "5", "12 kg"], "1 of 6 cells are none, e.g. '12 kg'. Correct"),
    (["1", "2.5", "3", "4", "5", "1,200"], r"e.g. '1,200' \(it has thousands separators: write the digits without them\)\. Corr"),
    ([f"{row + 1}e40" for row in range(60)], r"60 of 60 cells cannot be read as such, e.g. '1e40' \(too large for float32"),
    ([f"{row},{100 + row % 800}" for row in range(1, 61)], r"60 of 60 cells .*e.g. '1,101' \(it has thousands separators"),
    ([f"{row % 20 + 1}'000" for row in range(60)], r"e.g. .1'000. \(it has thousands separators"),
    ([f"{row + 1}e-320" for row in range(60)], "e.g. '1e-320', differ by less than float32 can tell")])
def test_what_cannot_be_learnt_is_told(words, message):
    with pytest.raises(UsageError, match=message):
        target_of(words)


@pytest.mark.parametrize(("words", "task"), [
    (["1", "2", "3", "4", "5"], "regression"), (["no", "yes", "no", "yes", "no"], "classification"),
    (["1", "2", "3"], "regression"),
    ([*"abc" * 20, "rare"], "classification"), (["yes"] + ["no"] * 60, "classification")])
def test_every_class_is_trained_and_some_rows_validate_as_the_table_draws_them(words, task):
    known = pd.Series(words, name="y", dtype=object)
    split, seed, training_rows = split_of("--data t.csv", known, task=task)
    cells = TableCells(pd.DataFrame({"x": range(len(words)), "y": words}), [("t.csv", row + 1) for row in range(len(words))])
    training, validation = split_rows(cells, split=split, group=None, seed=seed)
    np.testing.assert_array_equal(training, training_rows)
    assert len(validation) and known[training].nunique() > 1
    assert task == "regression" or set(known[validation]) <= set(known[training])


def test_classes_of_single_rows_are_told():
    words = ["a", "b"] * 3 + [f"single {number}" for number in range(3)]
    with pytest.raises(UsageError, match="3 classes have a single row, e.g. 'single 0'. Add rows, or join rare classes"):
        split_of("--data t.csv", pd.Series(words, name="y"), task="classification")


def test_two_rows_are_too_few():
    with pytest.raises(UsageError, match="2 rows cannot be split into training and validation rows. Add rows"):
        split_of("--data t.csv", pd.Series(["1", "2"], name="y"), task="regression")
