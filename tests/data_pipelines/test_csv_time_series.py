"""Blocks of rows from CSV files, against pandas and plain slices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.csv import windows as csv_windows
from data_pipelines.csv.windows import PIECE_BYTES, piece_bytes_for
from DataProvider_input_pipeline import FileListProcessor_csv_time_series
from tests.support.csv_files import sensor_table, windows, write_table, written


def all_of(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Everything of one pass, the batches joined."""
    parts = [(blocks.numpy(), labels.numpy()) for blocks, labels in dataset]
    return np.concatenate([blocks for blocks, _ in parts]), np.concatenate([labels for _, labels in parts])


def expected(tables: list[pd.DataFrame], size: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
    values = [windows(table.iloc[:, 1:].to_numpy(np.float32), size, shift) for table in tables]
    labels = [windows(table.iloc[:, :1].to_numpy(object), size, shift) for table in tables]
    return (np.concatenate([part for part in values if len(part)]),
            np.vectorize(str.encode, otypes=[object])(np.concatenate([part for part in labels if len(part)])))


@pytest.fixture
def tables(tmp_path):
    """Three files of 100, 7 and 33 rows, with spaces and accents in their names."""
    made = [sensor_table(100), sensor_table(7, first=1000), sensor_table(33, first=2000)]
    files = [write_table(tmp_path / name, table)
             for name, table in zip(["a.csv", "with space.csv", "données été.csv"], made)]
    return files, made


@pytest.mark.parametrize(("size", "shift", "piece_bytes"), [
    (10, None, 1 << 20), (10, 3, 700), (1, 1, 700), (4, 9, 64), (33, 1, 64), (2, 50, 700)])
def test_blocks_are_the_windows_of_each_file_wherever_pieces_end(tables, monkeypatch, size, shift, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    files, frames = tables
    blocks, times = all_of(FileListProcessor_csv_time_series(files, nblines_per_block=size, windows_shift=shift, batch_size=4))
    values, labels = expected(frames, size, shift or size)
    np.testing.assert_array_equal(blocks, values)
    np.testing.assert_array_equal(times, labels)


def test_windows_that_overlap_a_lot_are_made_of_small_pieces():
    assert piece_bytes_for(size=10, shift=10) == piece_bytes_for(size=10, shift=30) == PIECE_BYTES
    assert piece_bytes_for(size=100, shift=5) == PIECE_BYTES // 20
    assert 1000 < piece_bytes_for(size=10**9, shift=1) < 10_000


def test_shapes_are_known_before_reading(tables):
    dataset = FileListProcessor_csv_time_series(tables[0], nblines_per_block=5, batch_size=4)
    assert dataset.element_spec == (tf.TensorSpec([None, 5, 3], tf.float32), tf.TensorSpec([None, 5, 1], tf.string))
    for shuffled in (False, True):
        dataset = FileListProcessor_csv_time_series(tables[0], nblines_per_block=5, batch_size=4, drop_remainder=True,
                                                    shuffle_batches=shuffled)
        assert dataset.element_spec[0].shape == [4, 5, 3]
        assert [len(blocks) for blocks, _ in dataset] == [4] * 6  # of 20 + 1 + 6 blocks


def test_files_without_a_whole_block_give_none(tmp_path):
    full = write_table(tmp_path / "full.csv", sensor_table(5))
    files = [written(tmp_path / "empty.csv", ""), written(tmp_path / "header.csv", "time,sensor_0,sensor_1,sensor_2\n"),
             written(tmp_path / "blank.csv", "time,sensor_0,sensor_1,sensor_2\r\n\r\n\n"),
             write_table(tmp_path / "short.csv", sensor_table(4)), full]
    blocks, _ = all_of(FileListProcessor_csv_time_series(files, nblines_per_block=5, batch_size=8))
    np.testing.assert_array_equal(blocks, expected([sensor_table(5)], 5, 5)[0])
    assert list(FileListProcessor_csv_time_series(files[1:2], nblines_per_block=1, batch_size=1)) == []
    with pytest.raises(ValueError, match=r"none of the 1 files has a header"):
        FileListProcessor_csv_time_series(files[:1], nblines_per_block=1, batch_size=1)


def test_columns_are_selected_by_name_or_place_in_the_order_given(tables):
    files, (frame, *_) = tables
    for columns in (["sensor_2", "sensor_0"], range(3, 0, -2)):
        blocks, labels = all_of(FileListProcessor_csv_time_series(files[:1], nblines_per_block=50, batch_size=1,
                                                                  selected_cols=columns, labels_cols_nb=0))
        np.testing.assert_array_equal(blocks, windows(frame[["sensor_2", "sensor_0"]].to_numpy(np.float32), 50, 50))
        assert labels.shape == (2, 50, 0)


def test_labels_are_numbers_where_their_defaults_are(tables):
    files, (frame, *_) = tables
    blocks, labels = all_of(FileListProcessor_csv_time_series(
        files[:1], nblines_per_block=10, batch_size=3, selected_cols=["sensor_0", "sensor_1", "sensor_2"], labels_cols_nb=2,
        record_defaults_values=[[0.0], float, float]))
    np.testing.assert_array_equal(labels, windows(frame[["sensor_0", "sensor_1"]].to_numpy(np.float32), 10, 10))
    assert blocks.shape == (10, 10, 1) and labels.dtype == np.float32


@pytest.mark.parametrize("delimiter", ["\t", " "])
def test_other_delimiters(tmp_path, delimiter):
    table = sensor_table(12).assign(time=[f"t{row}" for row in range(12)])
    file = write_table(tmp_path / "a.csv", table, sep=delimiter)
    blocks, times = all_of(FileListProcessor_csv_time_series([file], csv_field_delim=delimiter,
                                                             nblines_per_block=4, batch_size=2))
    np.testing.assert_array_equal(blocks, expected([table], 4, 4)[0])
    assert times[0, :, 0].tolist() == [b"t0", b"t1", b"t2", b"t3"]


def test_missing_cells_become_their_columns_default(tmp_path):
    file = written(tmp_path / "a.csv", "time,x,y,z\nt0,,1,\nN/A,2,N/A,5\n,nan,3,NaN\n")
    (blocks, times), = FileListProcessor_csv_time_series([file], nblines_per_block=3, batch_size=1,
                                                         record_defaults_values=["unknown", -1, [0.5], float("nan")])
    np.testing.assert_array_equal(blocks[0], np.float32([[-1, 1, np.nan], [2, 0.5, 5], [-1, 3, np.nan]]))
    assert times.numpy()[0, :, 0].tolist() == [b"t0", b"unknown", b"unknown"]


def test_the_text_of_a_missing_cell_can_be_chosen(tmp_path):
    file = written(tmp_path / "a.csv", "time,x\n?,?\nN/A,2\n")
    (blocks, times), = FileListProcessor_csv_time_series([file], nblines_per_block=2, batch_size=1, na_value_string="?",
                                                         record_defaults_values=["", 7])
    assert blocks.numpy()[0, :, 0].tolist() == [7, 2]
    assert times.numpy()[0, :, 0].tolist() == [b"", b"N/A"]


def test_each_sample_goes_through_the_users_function(tables):
    files, frames = tables
    dataset = FileListProcessor_csv_time_series(
        files, nblines_per_block=10, batch_size=4,
        per_sample_preprocess_fn=lambda block, labels: (block - block[0], {"start": labels[0, 0], "mean": block[:, 0]}))
    assert dataset.element_spec[0].shape == [None, 10, 3]
    values, times = expected(frames, 10, 10)
    found = list(dataset.unbatch())
    np.testing.assert_array_equal([block for block, _ in found], values - values[:, :1])
    assert [labels["start"].numpy() for _, labels in found] == times[:, 0, 0].tolist()


def starts(dataset: tf.data.Dataset) -> list[float]:
    return [float(block[0, 0]) for blocks, _ in dataset for block in blocks]


@pytest.mark.parametrize("deterministic_ops", [False, True])
def test_a_seed_gives_one_order_in_each_run_and_another_in_each_pass(tables, monkeypatch, deterministic_ops):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 200)
    if deterministic_ops:
        tf.config.experimental.enable_op_determinism()

    def make() -> tf.data.Dataset:
        return FileListProcessor_csv_time_series(tables[0], nblines_per_block=3, batch_size=4, shuffle_batches=True,
                                                 shuffle_buffer=8, seed=3)

    dataset = make()
    passes = [starts(dataset) for _ in range(4)]
    in_order = starts(FileListProcessor_csv_time_series(tables[0], nblines_per_block=3, batch_size=4))
    assert all(sorted(one) == in_order != one for one in passes)
    assert len(set(map(tuple, passes))) == 4
    assert {max(start < 1000 for start in one[:3]) for one in passes} == {False, True}  # files are shuffled, too
    restarted = make()
    for _ in range(2):
        iter(restarted)  # a restart skips passes in this way
    assert [starts(restarted), starts(restarted)] == passes[2:]


def test_without_seed_the_order_follows_the_global_one(tables):
    def order() -> list[float]:
        tf.random.set_seed(5)
        return starts(FileListProcessor_csv_time_series(tables[0], nblines_per_block=3, batch_size=4, shuffle_batches=True))

    assert order() == order()


@pytest.mark.parametrize("in_files", [False, True])
def test_a_cache_keeps_the_blocks_and_not_their_order(tmp_path, in_files):
    files = [write_table(tmp_path / f"{k}.csv", sensor_table(30, first=100 * k)) for k in range(3)]
    dataset = FileListProcessor_csv_time_series(files, nblines_per_block=3, batch_size=4, shuffle_batches=True, seed=1,
                                                cache=tmp_path / "cached" if in_files else True)
    first = starts(dataset)
    for file in files:
        file.unlink()
    second = starts(dataset)
    assert sorted(first) == sorted(second) and first != second


def test_after_a_restart_a_cache_gives_the_order_of_the_pass(tables):
    def make() -> tf.data.Dataset:
        return FileListProcessor_csv_time_series(tables[0], nblines_per_block=3, batch_size=4, shuffle_batches=True, seed=1,
                                                 cache=True)

    dataset = make()
    passes = [starts(dataset) for _ in range(3)]
    restarted = make()
    iter(restarted)
    assert [starts(restarted), starts(restarted)] == passes[1:]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"nblines_per_block": 0}, "nblines_per_block must be a whole number of at least 1. Got 0"),
    ({"nblines_per_block": 2.5}, "nblines_per_block must be a whole number"),
    ({"batch_size": "4"}, "batch_size must be a whole number"),
    ({"windows_shift": 0}, "windows_shift must be"),
    ({"shuffle_buffer": 0}, "shuffle_buffer must be"),
    ({"labels_cols_nb": -1}, "labels_cols_nb must be"),
    ({"labels_cols_nb": 4}, "labels_cols_nb must be below the number of selected columns, 4"),
    ({"csv_field_delim": ", "}, "csv_field_delim must be one ASCII character"),
    ({"csv_field_delim": ";"}, "correct csv_field_delim"),
    ({"na_value_string": None}, "na_value_string must be a str"),
    ({"header_lines": -1}, "header_lines must be"),
    ({"selected_cols": "time"}, "selected_cols must be a list"),
    ({"selected_cols": ["time", "Sensor_0"]}, "no column is called 'Sensor_0', did you mean 'sensor_0'?"),
    ({"selected_cols": ["time", 1, 9]}, "selected_cols: 9 is not in 0 … 3"),
    ({"selected_cols": ["time", "sensor_0", 1]}, "selected_cols names a column twice"),
    ({"selected_cols": ["sensor_0", "sensor_1"], "header_lines": 0}, "the files have no header"),
    ({"record_defaults_values": [0.0]}, "one value for each of the 4 selected columns"),
    ({"record_defaults_values": ["", 0, 0, "x"]}, "column 'sensor_2' would hold text"),
    ({"record_defaults_values": ["", 0, 0, {}]}, "the entry of column 'sensor_2' must be a number"),
    ({"record_defaults_values": ["", 0, 0, 0], "labels_cols_nb": 2}, "tf.strings.to_number"),
    ({"on_unreadable_file": "ignore"}, "on_unreadable_file must be one of"),
])
def test_wrong_arguments_are_named_before_any_work(tables, arguments, message):
    with pytest.raises(ValueError) as caught:
        FileListProcessor_csv_time_series(tables[0], **{"nblines_per_block": 2, "batch_size": 2, **arguments})
    assert message in str(caught.value)
