"""CSV as people write it: decimal commas, other encodings, infinities and long whole numbers, against pandas and Python."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines.csv import windows as csv_windows
from data_pipelines.unreadable_files import UnreadableFileError
from DataProvider_input_pipeline import FileListProcessor_csv_lines, FileListProcessor_csv_time_series, VocabularyColumn
from tests.support.csv_files import written


def read(file, **options) -> np.ndarray:
    """All columns of numbers but the first of texts, through both pipelines, which must agree."""
    blocks, _ = zip(*FileListProcessor_csv_time_series([file], nblines_per_block=1, batch_size=99, **options).as_numpy_iterator())
    names = pd.read_csv(file, sep=options.get("csv_field_delim", ","), encoding=options.get("encoding"), nrows=0).columns[1:]
    lines, _ = zip(*FileListProcessor_csv_lines([file], columns=list(names), label_columns=list(names), batch_size=99,
                                                **options).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], np.concatenate(lines))
    return np.concatenate(lines)


def fault_of(file, **options) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(FileListProcessor_csv_time_series([file], nblines_per_block=1, batch_size=9, **options))
    return str(caught.value)


@pytest.mark.parametrize("piece_bytes", [60, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "iso8859-15"])
def test_a_decimal_comma_in_any_encoding_is_read_as_by_pandas(tmp_path, monkeypatch, encoding, piece_bytes):
    monkeypatch.setattr(csv_windows, "PIECE_BYTES", piece_bytes)
    table = pd.DataFrame({"städt": [f"Orléans {row}" for row in range(50)], "höhe": np.arange(50) / 8 - 3,
                          "x": 10.0 ** np.arange(-25, 25)})
    table.to_csv(tmp_path / "a.csv", sep=";", decimal=",", index=False, encoding=encoding)
    options = {"csv_field_delim": ";", "decimal": ",", "encoding": encoding}
    again = pd.read_csv(tmp_path / "a.csv", sep=";", decimal=",", encoding=encoding)
    np.testing.assert_array_equal(read(tmp_path / "a.csv", **options), again[["höhe", "x"]].to_numpy(np.float32))
    (_, labels), = FileListProcessor_csv_lines(
        [tmp_path / "a.csv"], columns=["x"], label_columns=[VocabularyColumn("städt", again["städt"].tolist())], batch_size=50,
        **options)
    assert labels[:, 0].numpy().tolist() == list(range(50))


@pytest.mark.parametrize(("cell", "decimal", "message"), [
    ("1,5", ".", "line 3: column 'x': '1,5' is not a number."), ("1,5", ".", "If it has a decimal comma, set decimal=','."),
    ("1.5", ",", "line 3: column 'x': '1.5' is not a number."), ("1.234,5", ",", "'1.234,5' is not a number."),
    ("inf", ".", "line 3: column 'x': 'inf' is infinite"), ("-Infinity", ",", "line 3: column 'x': '-Infinity' is infinite"),
    ("1e400", ".", "line 3: column 'x': '1e400' is infinite"), ("-1e39", ".", "line 3: column 'x': '-1e39' is too large for float32"),
    ("9" * 40, ".", "is too large for float32")])
def test_what_is_no_number_or_infinite_is_named_with_its_line_and_the_remedy(tmp_path, cell, decimal, message):
    file = written(tmp_path / "a.csv", f"t;x\na;1\nb;{cell}\n")
    assert message in fault_of(file, csv_field_delim=";", decimal=decimal)


def test_an_infinite_cell_may_be_declared_missing(tmp_path):
    file = written(tmp_path / "a.csv", "t,x\na,1\nb,inf\n")
    (blocks, _), = FileListProcessor_csv_time_series([file], nblines_per_block=2, batch_size=1, na_value_string="inf",
                                                     record_defaults_values=[str, 7.0])
    assert blocks.numpy().ravel().tolist() == [1, 7]


def test_a_file_in_another_encoding_is_named_with_line_and_remedy(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("t,x\na,1\nété,2\n".encode("latin-1"))
    assert f"{file}: line 3: it is not UTF-8" in fault_of(file) and "encoding='cp1252'" in fault_of(file)
    file.write_bytes("tété,x\na,1\n".encode("latin-1"))
    with pytest.raises(UnreadableFileError, match="a.csv: line 1: it is not UTF-8 .*'latin-1'"):
        FileListProcessor_csv_time_series([file], nblines_per_block=1, batch_size=1)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        file.write_bytes("t,x\na,1\n".encode(encoding))
        with pytest.raises(UnreadableFileError, match="a.csv: line 1: it is UTF-16, which is not read. Save the file as UTF-8: open"):
            FileListProcessor_csv_time_series([file], nblines_per_block=1, batch_size=1)


@pytest.mark.parametrize(("options", "message"), [
    ({"encoding": "utf-16"}, "encoding='utf-16' cannot be read in pieces. Save the files as UTF-8"),
    ({"encoding": "utf8s"}, "encoding must be the name of an encoding, e.g. 'utf-8' or 'latin-1'. Got 'utf8s'."),
    ({"decimal": ";"}, "decimal must be one of '.', ','. Got ';'."),
    ({"decimal": ","}, "decimal=',' is csv_field_delim, too."),
    ({"dtype": "int64"}, "dtype must be one of 'float32', 'float64'. Got 'int64'.")])
def test_wrong_options_are_refused(tmp_path, options, message):
    file = written(tmp_path / "a.csv", "t,x\na,1\n")
    with pytest.raises(ValueError) as error:
        FileListProcessor_csv_lines([file], columns=["x"], label_columns=["x"], batch_size=1, **options)
    assert message in str(error.value)


def test_whole_numbers_above_2_to_24_are_told_and_kept_by_float64(tmp_path, caplog):
    values = [2**24 + 1, 2**53 - 1, 1_700_000_001]
    file = written(tmp_path / "a.csv", "t,id\n" + "".join(f"x,{value}\n" for value in values))
    with caplog.at_level(logging.WARNING):
        found = read(file)
    assert found.dtype == np.float32 and found[:, 0].tolist() == np.float32(values).tolist() != values
    assert "column 'id': the whole number 16777217 becomes 16777216 in float32. dtype='float64' keeps up to 2^53" in caplog.text
    assert caplog.text.count("16777217") == 2  # once in each of the two pipelines
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = read(file, dtype="float64")
    assert found.dtype == np.float64 and found[:, 0].tolist() == values and not caplog.text


@pytest.mark.parametrize(("cell", "dtype", "is_told"), [
    ("9007199254740993", "float64", True), ("33554432", "float32", False), ("1.5e20", "float32", False),
    ("16777217.0", "float32", False), ("33554433", "float32", True)])
def test_only_whole_numbers_that_change_are_told(tmp_path, caplog, cell, dtype, is_told):
    file = written(tmp_path / "a.csv", f"t,id\na,{cell}\n")
    with caplog.at_level(logging.WARNING):
        read(file, dtype=dtype)
    assert ("the whole number" in caplog.text) == is_told
