"""How a stranger's CSV file is written is found out, and what is no table is told with the remedy."""

from __future__ import annotations

import pytest

from expman.errors import UsageError
from expman.first_steps.csv_files import existing_column, read_csv_files

ROWS = [["name", "größe", "price"], ["a", "1.5", "2"], ["b", "2.5", "3"], ["c", "3.5", ""]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path, encoding, delimiter):
    file = tmp_path / "t.csv"
    file.write_text("\n".join(map(delimiter.join, ROWS)), encoding=encoding)
    cells, form = read_csv_files(file)
    assert [list(cells.frame), *cells.frame.to_numpy().tolist()] == ROWS
    assert (form.delimiter, form.decimal) == (delimiter, ".")


def test_decimal_commas_are_found_beside_a_column_of_versions(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a;b;version\n1,5;2,25;1.0\n2,5;-3;1.1\n", encoding="utf-8")
    assert read_csv_files(file)[1].decimal == ","


def test_a_file_whose_odd_letters_come_late_is_read(tmp_path):
    file = tmp_path / "t.csv"
    file.write_bytes(b"a,b\n" + b"1,2\n" * 300_000 + "ä,3\n".encode("cp1252"))
    cells, form = read_csv_files(file)
    assert form.encoding == "cp1252" and cells.frame["a"].iloc[-1] == "ä"


def test_commas_within_quotes_and_texts_are_no_delimiter(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text('text;n\n"a, b, c";1\nd, e;2\n', encoding="utf-8")
    assert list(read_csv_files(file)[0].frame) == ["text", "n"]


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty. Its first line must name the columns"), (b" \n\n", "is empty"), (b"a,b\n", "has a header and no rows"),
    (b"PK\x03\x04xx", "is a spreadsheet or an archive, no CSV file. Save it as CSV"), (b"PAR1", "a Parquet file"),
    (b"a,b\0\n1,2\n", "is no text: it holds zero bytes"), (b"only\n1\n2\n", "there is a single column, 'only'"),
    (b"5.1,3.5,setosa\n4.9,3.0,setosa\n", "the first line seems to hold values, such as '5.1'"),
    (b"Report\n\na;b\n1;2\n2;3\n3;4\n", "lines above the names of the columns, such as a title, must be removed"),
    (b"sep=;\na;b\n1;2\n", "the first line of .*, 'sep=;', is a note to spreadsheet programs. Remove it"),
    (b"1,2\n3,4\n", "all names of its columns are numbers"), (b"a,a\n1,2\n", "the column names 'a' occur more than once"),
    (b",a\n0,1\n", "column 1 has no name"), (b"a,b,c\n1,2,3\n4,5\n", "it has fewer cells than the header"),
    (b"a,b\n1,2\n1,2,3\n4,5\n6,7\n", "cannot be read as a table")])
def test_what_is_no_table_is_told(tmp_path, content, message):
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_csv_files(file)


def test_years_may_name_columns(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("country,2019,2020,area\nA,1.5,2,30\nB,2,,40\n", encoding="utf-8")
    assert list(read_csv_files(file)[0].frame) == ["country", "2019", "2020", "area"]


def test_a_folder_without_a_csv_file_is_told(tmp_path):
    (tmp_path / "t.txt").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"no file in .* fits '\*.csv'"):
        read_csv_files(tmp_path)


def test_files_of_several_tables_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("a,c\n1,2\n")
    with pytest.raises(UsageError, match="has other columns than"):
        read_csv_files(tmp_path)


@pytest.mark.parametrize(("name", "hint"), [("Prize", "Did you mean 'price'?"), ("PRICE", "Did you mean "
                                                                                          "'price'?"), ("zzz", "no such column. "
                                                                                                               "They")])
def test_a_column_that_is_not_there_is_told_with_the_nearest(name, hint):
    with pytest.raises(UsageError) as error:
        existing_column("--target", name, ["name", "price"])
    assert hint in str(error.value) and "'name', 'price'" in str(error.value)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_cell_of_any_length_is_read(tmp_path, delimiter):
    text = "word " * 60_000
    file = tmp_path / "t.csv"
    file.write_text(f"text{delimiter}n\n{text}{delimiter}1\n\"{text}\"{delimiter}\n", encoding="utf-8")
    assert read_csv_files(file)[0].frame.to_numpy().tolist() == [[text.strip(), "1"], [text.strip(), ""]]


@pytest.mark.parametrize(("content", "others", "message"), [
    ("a,b\n1,2\n1,2,3\n4,5\n6,7\n", None,
     r"t\.csv cannot be read as a table: .*[^.]\. Each row must have .*; quote cells .*it\.$"),
    ("", None, "t\\.csv is empty"), ("a,b\n1,2\n", "ä,b\n1,2\n".encode("cp1252"), r"u\.csv is not written in utf-8.*in UTF-8\.$"),
    ("a,b\n1,2\n", b"a;b\n1;2\n", r"u\.csv has the single column 'a;b'\. Write all files with the same delimiter\.$")])
def test_what_is_told_names_the_path_once_and_nothing_that_init_does_not_take(tmp_path, content, others, message):
    (tmp_path / "t.csv").write_text(content)
    if others:
        (tmp_path / "u.csv").write_bytes(others)
    with pytest.raises(UsageError, match=message) as error:
        read_csv_files(tmp_path if others else tmp_path / "t.csv")
    told = str(error.value)
    assert told.startswith(f"--data {tmp_path}/") and told.count(str(tmp_path)) == 1
    assert ".." not in told and "encoding=" not in told and "set delimiter" not in told.lower()
