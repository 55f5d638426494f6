"""Windows end where time jumps: as if pandas had written each stretch without a gap into a file of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.csv import windows as csv_windows
from DataProvider_input_pipeline import (
    FileListProcessor_csv_lines,
    FileListProcessor_csv_time_series,
    NumericColumn,
    VocabularyColumn,
)
from tests.support.csv_files import windows, written


def recording(seed: int) -> pd.DataFrame:
    """Rows each minute, but for gaps of an hour after some and one return to an earlier time."""
    steps = np.where(np.random.default_rng(seed).random(300) < 0.06, 3600, 60)
    steps[150] = -7200
    return pd.DataFrame({"time": pd.Timestamp("2024-03-30 20:00") + pd.to_timedelta(np.cumsum(steps), unit="s"),
                         "value": np.arange(300.0)})


def expected(tables: list[pd.DataFrame], size: int, shift: int) -> list[list[float]]:
    found = []
    for table in tables:
        step = table["time"].diff().dt.total_seconds()
        for _, stretch in table.groupby((~step.between(0, 60)).cumsum()):
            found += windows(stretch["value"].to_numpy(), size, shift).tolist()
    return found


@pytest.mark.parametrize("kind", ["iso", "seconds", "label"])
@pytest.mark.parametrize(("size", "shift", "piece_bytes"), [(5, 5, 1 << 20), (5, 2, 300), (3, 7, 90), (1, 1, 300)])
def test_windows_are_those_of_the_stretches_without_a_gap(tmp_path, monkeypatch, kind, size, shift, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    tables, files = [recording(0), recording(1)], []
    for number, table in enumerate(tables):
        seconds = (table["time"] - pd.Timestamp(0)).dt.total_seconds()
        files.append(tmp_path / f"{number}.csv")
        (table.assign(time=seconds) if kind == "seconds" else table).to_csv(files[-1], index=False)
    options = {} if kind == "label" else {"selected_cols": ["value"], "labels_cols_nb": 0}
    dataset = FileListProcessor_csv_time_series(files, nblines_per_block=size, windows_shift=shift, batch_size=4,
                                                time_column="time", max_gap_seconds=60, **options)
    found = [block[:, 0].tolist() for blocks, _ in dataset.as_numpy_iterator() for block in blocks]
    assert found == expected(tables, size, shift) and len(found) > 20


@pytest.mark.parametrize("form", ["iso", "seconds", "feature", "no header"])
@pytest.mark.parametrize(("size", "shift", "piece_bytes"), [(5, 5, 1 << 20), (5, 2, 300), (3, 7, 90), (1, 1, 300)])
def test_windows_of_named_columns_end_at_the_same_gaps(tmp_path, monkeypatch, form, size, shift, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    tables, files = [recording(2), recording(3)], []
    for number, table in enumerate(tables):
        seconds = (table["time"] - pd.Timestamp(0)).dt.total_seconds()
        written_table = table if form in ("iso", "no header") else table.assign(time=seconds)
        files.append(tmp_path / f"{number}.csv")
        written_table.assign(word="a").to_csv(files[-1], index=False, header=form != "no header")
    columns = ["value", NumericColumn("time", normaliser=(1.7e9, 1e5))] if form == "feature" else ["value"]
    dataset = FileListProcessor_csv_lines(
        files, columns=columns, label_columns=[VocabularyColumn("word", ["a"])], batch_size=4, samples_window_size=size,
        samples_window_shift=shift, time_column=0 if form == "seconds" else "time", max_gap_seconds=60,
        column_names=["time", "value", "word"] if form == "no header" else None)
    found = [window[..., 0].ravel().tolist() for windows, _ in dataset.as_numpy_iterator() for window in windows]
    assert found == expected(tables, size, shift) and len(found) > 20


def test_what_is_no_time_is_named_and_the_column_must_be_told(tmp_path):
    file = written(tmp_path / "a.csv", "time,x\n2024-01-01,1\nyesterday,2\n")
    options = {"nblines_per_block": 1, "batch_size": 1, "max_gap_seconds": 60}
    with pytest.raises(tf.errors.InvalidArgumentError, match="a.csv: line 3: column 'time': 'yesterday' is no time for max_gap_sec"):
        list(FileListProcessor_csv_time_series([file], time_column="time", **options))
    lines = {"columns": ["x"], "label_columns": ["x"], "batch_size": 1, "max_gap_seconds": 60}
    with pytest.raises(tf.errors.InvalidArgumentError, match="a.csv: line 3: column 'time': 'yesterday' is no time for max_gap_sec"):
        list(FileListProcessor_csv_lines([file], time_column="time", **lines))
    with pytest.raises(ValueError, match="max_gap_seconds=60 needs time_column"):
        FileListProcessor_csv_lines([file], **lines)
    with pytest.raises(ValueError, match="max_gap_seconds=60 needs time_column"):
        FileListProcessor_csv_time_series([file], **options)
    with pytest.raises(ValueError, match="time_column: no column is called 'tim', did you mean 'time'"):
        FileListProcessor_csv_time_series([file], time_column="tim", **options)
