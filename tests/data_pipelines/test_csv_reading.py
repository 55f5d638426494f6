"""Reading CSV: in pieces, of whatever is written in the files, and errors that name file, line, column and value."""

from __future__ import annotations

import csv
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.csv import parsing as csv_parsing
from data_pipelines.csv import reading as csv_reading
from data_pipelines.csv import windows as csv_windows
from data_pipelines.csv.faults import CsvError
from data_pipelines.csv.parsing import CsvParser, end_of_rows
from data_pipelines.csv.table import CsvColumn, CsvFormat, CsvTable
from data_pipelines.unreadable_files import UnreadableFileError
from DataProvider_input_pipeline import FileListProcessor_csv_time_series
from tests.support.csv_files import sensor_table, write_table, written


def rows_of(files: list[Path], **arguments: object) -> list[tuple]:
    """Each row of the files: its first column, the label, and the others."""
    dataset = FileListProcessor_csv_time_series(files, nblines_per_block=1, batch_size=64, **arguments)
    return [(label[0, 0].decode(), *block[0].tolist()) for blocks, labels in dataset
            for block, label in zip(blocks.numpy(), labels.numpy())]


def fault_of(file: Path, **arguments: object) -> str:
    """The line of the error that reading a file ends with."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        rows_of([file], **arguments)
    return next(line for line in str(caught.value).splitlines() if "UnreadableFileError: " in line).split("UnreadableFileError: ")[1]


@pytest.mark.parametrize("piece_bytes", [40, 1 << 20])
def test_quotes_line_breaks_and_spaces_are_read_as_by_the_csv_module(tmp_path, monkeypatch, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    file = written(tmp_path / "a.csv", '\ufefftime,x,y\r\nplain,1,2\r\n"with, comma",3,4\n"a ""quoted"" word",5,6\n\n'
                                       '"two\nlines",7,8\r\n  spaces, 9, 10\nünïcode 時,1e1, -2.5\n"",11,12\n"last",+13,1.4E1')
    with open(file, encoding="utf-8-sig", newline="") as opened:
        expected = [(cells[0], *map(float, cells[1:])) for cells in list(csv.reader(opened, skipinitialspace=True))[1:] if cells]
    assert rows_of([file], record_defaults_values=["", float, float]) == expected
    assert len(expected) == 8


def test_rows_equal_those_of_pandas_over_many_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 3000)
    numbers = np.random.default_rng(0).normal(size=[2000, 4]) * 10.0 ** np.arange(-6, 10, 4)
    table = pd.DataFrame(numbers, columns=list("abcd"))
    table.insert(0, "time", [f'"{row}",' * (row % 3) for row in range(2000)])
    file = write_table(tmp_path / "a.csv", table)
    found = rows_of([file], record_defaults_values=["", *[float] * 4])
    again = pd.read_csv(file, keep_default_na=False)
    assert [row[0] for row in found] == again["time"].tolist()
    np.testing.assert_array_equal(np.float32([row[1:] for row in found]), again[list("abcd")].to_numpy(np.float32))


def test_text_with_a_very_long_cell_is_read_in_another_way_and_alike(tmp_path, monkeypatch):
    table = sensor_table(20).assign(time=[f"né{row}" * (1 + 400 * (row == 7)) for row in range(20)])
    file = write_table(tmp_path / "a.csv", table)
    expected = rows_of([file])
    monkeypatch.setattr(csv_parsing, "MOST_TEXT_BYTES", 1000)
    assert rows_of([file]) == expected
    assert [row[0] for row in expected] == table["time"].tolist()


def test_text_beyond_ascii_is_not_checked_cell_by_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_parsing, "check_rows", None)
    file = write_table(tmp_path / "a.csv", sensor_table(5).assign(time="été"))
    assert [row[0] for row in rows_of([file])] == ["été"] * 5


def test_files_stream_so_that_the_first_rows_come_before_a_fault_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 2000)
    file = write_table(tmp_path / "a.csv", sensor_table(20_000))
    with open(file, "a", encoding="utf-8") as opened:
        opened.write("end,1,2,three\n")
    dataset = iter(FileListProcessor_csv_time_series([file], nblines_per_block=10, batch_size=2))
    assert [float(next(dataset)[0][0, 0, 0]) for _ in range(3)] == [0.125, 20.125, 40.125]
    assert fault_of(file).startswith(f"{file}: line 20002: column 'sensor_2': 'three' is not a number.")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_holds_some_pieces_and_not_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 1 << 18)

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    small = write_table(tmp_path / "a.csv", sensor_table(20_000, num_sensors=8))
    header, rows = small.read_bytes().split(b"\n", 1)
    file = tmp_path / "large.csv"
    with open(file, "wb") as opened:
        opened.write(header + b"\n")
        for _ in range(60):
            opened.write(rows)
    list(FileListProcessor_csv_time_series([small], nblines_per_block=1000, batch_size=1))  # starts what TensorFlow keeps
    dataset = FileListProcessor_csv_time_series([file], nblines_per_block=1000, batch_size=1)
    at_start = most = resident_bytes()
    num_rows = 0
    for blocks, _ in dataset:
        num_rows += blocks.shape[1]
        most = max(most, resident_bytes())
    assert num_rows == 1_200_000
    assert file.stat().st_size > 90_000_000
    assert most - at_start < 45_000_000


@pytest.mark.parametrize("size", range(20, 120, 7))
def test_pieces_end_with_rows_and_never_between_quotes(size):
    text = b'a,"b\n""c""\n",1\nplain,2,3\n"x\n\n",y,"z\n"\nlast,"' + b"n\n" * 40 + b'",4\n'
    end = end_of_rows(text[:size])
    assert end <= size
    rows = list(csv.reader(text[:end].decode().splitlines(keepends=True)))
    assert all(len(row) == 3 for row in rows)
    following = list(csv.reader(text[end:].decode().splitlines(keepends=True)))
    assert rows + following == list(csv.reader(text.decode().splitlines(keepends=True)))


TABLE = CsvTable(format=CsvFormat(), header=["t", "x", "y"], num_columns=3, columns=(
    CsvColumn(0, "column 't'", "text", allows_missing=True), CsvColumn(1, "column 'x'", "number"),
    CsvColumn(2, "column 'y'", "number", allows_missing=True)))


@pytest.mark.parametrize(("text", "line", "reason"), [
    ("a,1,2\nb,abc,3\n", 1, "column 'x': 'abc' is not a number."),
    ("a,1,2\n\n\nb,1.2.3,3\n", 3, "column 'x': '1.2.3' is not a number."),
    ("a,1,2\nb,1_000,3\n", 1, "column 'x': '1_000' is not a number."),
    ("a,1,2\nb,,3\n", 1, "column 'x': the cell is missing."),
    ("a,N/A,2\nb,,3\n", 0, "column 'x': the cell is missing."),
    ('a,1,2\n"b\nb",nan,3\n', 1, "column 'x': the cell is missing."),
    ("a,1,2\nb,1\n", 1, "3 columns are expected, and it has 2."),
    ("a,1,2\nb,1,2,3\nc,1\n", 1, "3 columns are expected, and it has 4."),
    ("a,1,2\nb,1,2,\n", 1, "3 columns are expected, and it has 4."),
    ("a,1,2\nb;1;2\n", 1, "3 columns are expected, and it has 1."),
    ('a,1,2\n"b,1,2\n', 1, "3 columns are expected, and it has 1."),
    ("a,1,2\nb,12 kg,2\n", 1, "column 'x': '12 kg' is not a number."),
    ("a,1,2\nb,true,2\n", 0, "in the 2 rows from here, pandas found:"),
])
def test_a_fault_is_found_with_its_line(text, line, reason):
    with pytest.raises(CsvError) as caught:
        CsvParser(TABLE).parse(text.encode())
    assert str(caught.value).startswith(reason)
    assert caught.value.line == line


def test_a_text_that_is_not_utf_8_is_a_fault_of_its_line():
    with pytest.raises(CsvError, match="not UTF-8") as caught:
        CsvParser(TABLE).parse("a,1,2\né,1,2\n".encode("latin-1"))
    assert caught.value.line == 1


@pytest.mark.parametrize("piece_bytes", [200, 1 << 20])
def test_an_error_names_file_line_column_and_value(tmp_path, monkeypatch, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    table = sensor_table(60).astype(object)
    table.loc[47, "sensor_1"] = "4,5"
    file = write_table(tmp_path / "été 1.csv", table)
    assert fault_of(file).startswith(f"{file}: line 49: column 'sensor_1': '4,5' is not a number. Correct the cell")


def test_a_file_with_another_header_is_named(tmp_path):
    files = [write_table(tmp_path / "a.csv", sensor_table(4)),
             write_table(tmp_path / "b.csv", sensor_table(4).rename(columns={"sensor_1": "Sensor 1"}))]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        rows_of(files)
    assert f"{files[1]}: its header differs from the first file's: column 2 is 'Sensor 1' instead of 'sensor_1'." in str(
        caught.value)


def test_files_without_header_are_read_by_place_and_a_forgotten_header_is_told(tmp_path):
    file = written(tmp_path / "a.csv", "t0,1,2\nt1,3,4\n")
    assert rows_of([file], header_lines=0) == [("t0", 1, 2), ("t1", 3, 4)]
    assert rows_of([file], header_lines=0, selected_cols=[0, 2]) == [("t0", 2), ("t1", 4)]
    reason = fault_of(written(tmp_path / "b.csv", "time,x\nt0,1\n"), header_lines=0)
    assert "line 1: column 1 (from 0): 'x' is not a number." in reason
    assert "correct header_lines" in reason


def test_the_last_header_line_names_the_columns(tmp_path):
    file = written(tmp_path / "a.csv", "station 7, north\nanything\ntime,x\nt0,1\n")
    assert rows_of([file], header_lines=3, selected_cols=["time", "x"]) == [("t0", 1)]


def test_a_header_of_numbers_is_warned_of(tmp_path, caplog):
    file = written(tmp_path / "a.csv", "1,2\n3,4\n")
    with caplog.at_level(logging.WARNING):
        FileListProcessor_csv_time_series([file], nblines_per_block=1, batch_size=1, labels_cols_nb=0)
    assert "set header_lines=0" in caplog.text


def test_unreadable_files_are_skipped_from_their_fault_on_and_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 300)
    good = sensor_table(10, first=500)
    broken = sensor_table(40).astype(object)
    broken.loc[20, "sensor_0"] = "broken"
    other_header = sensor_table(9).rename(columns={"time": "Time"})
    files = [write_table(tmp_path / name, table)
             for name, table in (("a.csv", good), ("b.csv", broken), ("c.csv", other_header), ("d.csv", good))]
    with caplog.at_level(logging.WARNING):
        dataset = FileListProcessor_csv_time_series(files, nblines_per_block=4, batch_size=1, on_unreadable_file="skip")
        starts = [float(block[0, 0]) for blocks, _ in dataset for block in blocks]
    from_good = [500.125, 504.125]
    from_broken = starts[2:-2]
    assert starts[:2] == starts[-2:] == from_good
    assert 0 < len(from_broken) <= 5 and from_broken == [0.125 + 4 * k for k in range(len(from_broken))]
    assert "b.csv: line 22: column 'sensor_0': 'broken'" in caplog.text
    assert "c.csv: its header differs" in caplog.text


def test_a_first_file_that_cannot_be_read_is_named_or_passed_over(tmp_path):
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    good = write_table(tmp_path / "good.csv", sensor_table(3))
    with pytest.raises(UnreadableFileError, match=r"folder\.csv"):
        rows_of([folder, good])
    assert len(rows_of([folder, good], on_unreadable_file="skip")) == 3


def test_a_missing_partner_of_a_quote_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", 500)
    monkeypatch.setattr(csv_reading, "LONGEST_ROW_BYTES", 4000)
    file = write_table(tmp_path / "a.csv", sensor_table(1000))
    file.write_text(file.read_text(encoding="utf-8").replace("2020-01-01 000300", '"2020-01-01 000300'), encoding="utf-8")
    reason = fault_of(file)
    assert reason.endswith("Look for a double quote without a partner.")
    assert 250 < int(reason.split("line ")[1].split(":")[0]) <= 302


def test_a_quote_inside_a_cell_is_a_character(tmp_path):
    file = written(tmp_path / "a.csv", 'time,x\n5" pipe,1\n7" pipe,2\n9" pipe,3\n')
    assert rows_of([file]) == [('5" pipe', 1), ('7" pipe', 2), ('9" pipe', 3)]
