"""Rows of named columns, against pandas and NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.csv import windows as csv_windows
from DataProvider_input_pipeline import BucketColumn, FileListProcessor_csv_lines, NumericColumn, VocabularyColumn
from tests.support.csv_files import windows, write_table, written

COLUMNS = ["age", VocabularyColumn("job", ["clerk", "été", "cook"]), BucketColumn("age", [18, 65]),
           NumericColumn("pay", normaliser=(1000, 50), default=1000)]
LABELS = [VocabularyColumn("income", ["low", "high"])]


def people(num_rows: int, *, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    table = pd.DataFrame({
        "name": [f"Doe, {row}" for row in range(num_rows)], "age": generator.integers(1, 99, num_rows),
        "job": generator.choice(["clerk", "cook", "été", "baker", ""], num_rows),
        "pay": np.round(generator.normal(1000, 50, num_rows), 2), "income": generator.choice(["low", "high"], num_rows)})
    table.loc[::5, "pay"] = np.nan
    return table


def expected_features(table: pd.DataFrame) -> np.ndarray:
    job = np.stack([table["job"] == word for word in ("clerk", "été", "cook")], axis=1)
    bucket = np.digitize(table["age"], [18, 65])
    pay = (table["pay"].fillna(1000) - 1000) / 50
    return np.concatenate([table[["age"]], job, ~job.any(axis=1, keepdims=True), bucket[:, None] == np.arange(3),
                           pay.to_numpy()[:, None]], axis=1).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    tables = [people(40), people(7, seed=1), people(15, seed=2)]
    return [write_table(tmp_path / f"people {k}.csv", table) for k, table in enumerate(tables)], tables


@pytest.mark.parametrize("piece_bytes", [100, 1 << 20])
def test_rows_become_the_declared_features_and_labels(files, monkeypatch, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    dataset = FileListProcessor_csv_lines(files[0], columns=COLUMNS, label_columns=LABELS, batch_size=8)
    assert dataset.element_spec == (tf.TensorSpec([None, 9], tf.float32), tf.TensorSpec([None, 1], tf.int64))
    table = pd.concat(files[1])
    assert [len(features) for features, _ in dataset] == [8] * 7 + [6]
    np.testing.assert_allclose(np.concatenate([features for features, _ in dataset]), expected_features(table), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in dataset])[:, 0], table["income"] == "high")


@pytest.mark.parametrize(("size", "shift"), [(5, 1), (3, 8)])
def test_windows_of_rows_stay_within_files(files, monkeypatch, size, shift):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 300)
    dataset = FileListProcessor_csv_lines(files[0], columns=COLUMNS, label_columns=["age", *LABELS], batch_size=4,
                                          samples_window_size=size, samples_window_shift=shift)
    assert dataset.element_spec == (tf.TensorSpec([None, size, 9], tf.float32), tf.TensorSpec([None, size, 2], tf.float32))
    parts = [(windows(expected_features(table), size, shift),
              windows(np.stack([table["age"], table["income"] == "high"], axis=1), size, shift))
             for table in files[1] if len(table) >= size]
    np.testing.assert_allclose(np.concatenate([features for features, _ in dataset]),
                               np.concatenate([features for features, _ in parts]), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in dataset]),
                                  np.concatenate([labels for _, labels in parts]))


def test_rows_can_be_thinned_out(files):
    dataset = FileListProcessor_csv_lines(files[0][:1], columns=["age"], label_columns=["age"], batch_size=100,
                                          samples_window_shift=3)
    (features, _), = dataset
    assert features[:, 0].numpy().tolist() == files[1][0]["age"].tolist()[::3]


@pytest.mark.parametrize("size", [1, 4])
def test_features_as_dict_are_the_parts_of_the_matrix(files, size):
    arguments = {"columns": COLUMNS, "label_columns": LABELS, "batch_size": 16, "samples_window_size": size}
    features, labels = next(iter(FileListProcessor_csv_lines(files[0], **arguments, features_as_dict=True)))
    matrix, same_labels = next(iter(FileListProcessor_csv_lines(files[0], **arguments)))
    assert {name: part.shape[-1] for name, part in features.items()} == {"age": 1, "job": 4, "age_buckets": 3, "pay": 1}
    np.testing.assert_array_equal(np.concatenate(list(features.values()), axis=-1), matrix)
    np.testing.assert_array_equal(labels, same_labels)


def test_files_without_header_get_the_names_of_their_columns(tmp_path):
    file = written(tmp_path / "adult.data", "39, State-gov, <=50K\n50, ?, >50K\n")
    dataset = FileListProcessor_csv_lines(
        [file], columns=["age", VocabularyColumn("work", ["State-gov"])], column_names=["age", "work", "income"], batch_size=2,
        label_columns=[VocabularyColumn("income", ["<=50K", ">50K"])], na_value_string="?")
    (features, labels), = dataset
    assert features.numpy().tolist() == [[39, 1, 0], [50, 0, 1]]
    assert labels.numpy().tolist() == [[0], [1]]


def test_words_that_look_like_numbers_stay_words(tmp_path):
    file = written(tmp_path / "a.csv", "code,class\n01,1\n1,2\n1.0,1\nNA,2\n")
    dataset = FileListProcessor_csv_lines([file], columns=[VocabularyColumn("code", ["1", "01", "NA"])], batch_size=4,
                                          label_columns=[VocabularyColumn("class", ["1", "2"])])
    (features, labels), = dataset
    assert features.numpy().argmax(axis=1).tolist() == [1, 0, 3, 2]
    assert labels.numpy()[:, 0].tolist() == [0, 1, 0, 1]


def test_labels_are_classes_buckets_or_normalised_numbers(tmp_path):
    file = written(tmp_path / "a.csv", "x,y\n1,10\n2,20\n3,\n")
    arguments = {"columns": ["x"], "batch_size": 3}
    (_, labels), = FileListProcessor_csv_lines([file], label_columns=[BucketColumn("y", [20], default=0)], **arguments)
    assert labels.dtype == tf.int64 and labels.numpy()[:, 0].tolist() == [0, 1, 0]
    (_, labels), = FileListProcessor_csv_lines([file], label_columns=[NumericColumn("y", (10, 5), default=0)], **arguments)
    assert labels.dtype == tf.float32 and labels.numpy()[:, 0].tolist() == [0, 2, -2]


@pytest.mark.parametrize(("text", "message"), [
    ("x,c\n1,a\n2,b\n3,z\n", "line 4: column 'c': 'z' is not in its vocabulary 'a', 'b'."),
    ("x,c\n1,a\n2,\n", "line 3: column 'c': the cell is missing."),
    ("x,c\n1,a\n,b\n", "line 3: column 'x': the cell is missing."),
    ("x,c\n1,a\nten,b\n", "line 3: column 'x': 'ten' is not a number."),
])
def test_an_error_names_file_line_column_and_value(tmp_path, text, message):
    file = written(tmp_path / "a.csv", text)
    dataset = FileListProcessor_csv_lines([file], columns=["x"], label_columns=[VocabularyColumn("c", ["a", "b"])], batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(dataset)
    assert f"{file}: {message}" in str(caught.value)


def test_a_fault_in_the_users_normaliser_is_not_taken_for_an_unreadable_file(tmp_path):
    def refuse(values: np.ndarray) -> np.ndarray:
        raise ValueError("the normaliser's own fault")

    file = written(tmp_path / "a.csv", "x\n1\n")
    dataset = FileListProcessor_csv_lines([file], columns=[NumericColumn("x", refuse)], label_columns=["x"], batch_size=1,
                                          on_unreadable_file="skip")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the normaliser's own fault"):
        list(dataset)


@pytest.mark.parametrize("deterministic_ops", [False, True])
def test_a_seed_gives_one_order_in_each_run_and_another_in_each_pass(files, deterministic_ops):
    if deterministic_ops:
        tf.config.experimental.enable_op_determinism()

    def make() -> tf.data.Dataset:
        return FileListProcessor_csv_lines(files[0], columns=["pay_id"], label_columns=["pay_id"], batch_size=10, seed=9,
                                           shuffle_batches=True, shuffle_buffer=12)

    for file, table in zip(*files):
        write_table(file, table.assign(pay_id=np.arange(len(table)) + 100 * len(table)))

    def order(dataset: tf.data.Dataset) -> list[float]:
        return [float(value) for features, _ in dataset for value in features[:, 0]]

    dataset = make()
    passes = [order(dataset) for _ in range(3)]
    assert len(set(map(tuple, passes))) == 3 and len(set(map(frozenset, passes))) == 1 and len(set(passes[0])) == 62
    restarted = make()
    iter(restarted)
    assert [order(restarted), order(restarted)] == passes[1:]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"columns": []}, "columns must be a list of columns, at least one. Got []"),
    ({"columns": "age"}, "columns must be a list of columns"),
    ({"columns": [3]}, "columns must hold NumericColumn, VocabularyColumn, BucketColumn or names. Got 3"),
    ({"label_columns": []}, "label_columns must be a list of columns"),
    ({"columns": ["agee"]}, "columns: no column is called 'agee', did you mean 'age'?"),
    ({"columns": ["age", "height"]}, "no column is called 'height', they are 'name', 'age', 'job', 'pay', 'income'"),
    ({"label_columns": ["Income"]}, "label_columns: no column is called 'Income', did you mean 'income'?"),
    ({"columns": ["age", NumericColumn("age", (1, 2))]}, "columns: 'age' is declared twice"),
    ({"columns": ["age", VocabularyColumn("age", ["1"])]}, "columns: 'age' is declared twice"),
    ({"columns": [BucketColumn("age", [1]), VocabularyColumn("age", ["1"])]}, "declared as numbers and as words"),
    ({"columns": [VocabularyColumn("job", ["N/A"])]}, "its word 'N/A' is na_value_string"),
    ({"header_lines": 0}, "column_names must name all columns"),
    ({"column_names": ["age", "b"]}, "label_columns: no column is called 'income'"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ({"samples_window_size": 0}, "samples_window_size must be"),
    ({"samples_window_shift": 0}, "samples_window_shift must be"),
    ({"cache": 1.5}, "cache must be"),
])
def test_wrong_arguments_are_named_before_any_work(files, arguments, message):
    with pytest.raises(ValueError) as caught:
        FileListProcessor_csv_lines(files[0], **{"columns": ["age"], "label_columns": ["income"], "batch_size": 2, **arguments})
    assert message in str(caught.value)
