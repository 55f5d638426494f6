"""Tables that cannot be learnt from are refused with the file, the column and what to do."""

from __future__ import annotations

import pytest

from DataProvider_input_pipeline import table

ROWS = "\n".join(f"{row % 7 + 0.5},{'a' if row % 3 else 'b'},{row * 1.25}" for row in range(30))


def write(folder, text: str, name: str = "t.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "options", "message"), [
    ("", {}, r"t\.csv is empty: its first line must name the columns"),
    ("x,w,y\n", {}, r"t\.csv has a header and no rows"),
    (f"x,x,y\n{ROWS}", {}, r"t\.csv: the column names 'x' occur more than once\. Rename them"),
    (f"x,,y\n{ROWS}", {}, r"t\.csv: column 2 has no name"),
    (ROWS.replace("a", "1").replace("b", "2"), {}, r"t\.csv: all names of its columns are numbers: 0\.5, 2, 0\.0"),
    (f"x,w,y\n{ROWS}".replace(",", ";"), {}, r"t\.csv has the single column 'x;w;y'\. Set delimiter=';'"),
    (f"x,w,y\n{ROWS}\n1,2,3,4\n", {}, r"t\.csv cannot be read as a table: .*as many cells as the header"),
    (f"x,w,y\n{ROWS}\n1.5,a\n", {}, r"t\.csv, row 31: it has fewer cells than the header \(1 such rows\)"),
    (f"x,w,y\n{ROWS}", {"target": "z"}, r"t\.csv has no column 'z', the target\. It has: x, w, y\."),
    (f"x,w,y\n1.5,a,\n{ROWS}", {}, r"t\.csv, row 1: the target 'y' is missing, as in 1 of 31 rows.*rows_without_target='leave_out'"),
    (f"x,w,y\n{ROWS}\n1.5,a,much\n", {}, r"t\.csv, row 31: the target 'y' must be a number\. Got 'much'"),
    ("x,w,y\n" + "1.5,a,yes\n" * 30, {}, r"t\.csv: the target 'y' is 'yes' in all \d+ training rows: there is nothing to learn"),
    (f"x,w,y\n{ROWS}", {"task": "classification"}, r"the target 'y' has \d+ different words in \d+ training rows, which are no cl"),
    ("x,y\n" + "".join(f"{row % 7},{'c' if row == 28 else 'ab'[row % 2]}\n" for row in range(30)), {"task": None, "seed": 2},
     r"t\.csv, row 29: the class 'c' of target 'y' occurs in no training row"),
    (f"x,w,y\n{ROWS}\n?,a,3\n", {}, r"t\.csv, row 31: column 'x' (holds numbers, but 1 of|must hold a number).*'\?'.*missing=\['"),
    (f"x,w,y\n{ROWS}\ninf,a,3\n", {"split": 0.01}, r"t\.csv, row 31: column 'x' holds the number 'inf', which cannot be norm"),
    ("d,y\n" + "".join(f"0{row % 9 + 1}/0{row % 8 + 1}/2020,{row}.5\n" for row in range(30)), {},
     r"the dates of column 'd', e\.g\. '\d+/\d+/2020', can be read as DD/MM/YYYY and as MM/DD/YYYY\. Say which: dates="),
    ("d,y\n" + "".join(f"2020-01-{row % 9 + 10},{row}.5\n" for row in range(30)), {"dates": {"d": "DD.MM.YYYY"}},
     r"not all cells of column 'd' are dates such as DD\.MM\.YYYY, e\.g\. '2020"),
    (f"x,w,y\n{ROWS}", {"split": 1.5}, r"split must be a fraction between 0 and 1, or the name of a column\. Got 1\.5"),
    (f"x,w,y\n{ROWS}", {"split": "part"}, r"t\.csv has no column 'part' to split by\. It has: x, w, y"),
    (f"x,w,y\n{ROWS}", {"split": "w"}, r"t\.csv, row 1: column 'w' must name the part of each row.*split=0\.2, group='w'"),
    (f"x,w,y\n{ROWS}".replace("a", "train").replace("b", "test"), {"split": "w"}, r"column 'w' names no validation row, only 'te"),
    (f"x,w,y\n{ROWS}".replace("a", "train").replace("b", "val"), {"split": "w", "group": "x"},
     r"7 groups of column 'x' are in both parts that column 'w' names \('0\.5', '1\.5', .* …\): validation would know them"),
    (f"x,w,y\n{ROWS}", {"ignore": ["x", "w"]}, r"t\.csv: no column is left to learn from: 'x': ignore names it; 'w': ignore"),
    (f"x,w,y\n{ROWS}", {"categories": ["v"]}, r"t\.csv has no column 'v'\. It has: x, w, y"),
    (f"x,w,y\n{ROWS}", {"categories": "w"}, r"categories must be a list of columns\. Got 'w'\. Write \['w'\]"),
    (f"a b,a-b,y\n{ROWS}", {}, r"the columns 'a b' and 'a-b' would both be served as 'a_b'\. Rename one"),
    (f"A,a,y\n{ROWS}", {}, r"the columns 'A' and 'a' would be served as 'A' and 'a', which TensorFlow writes alike\. Rename one"),
    (f"x,w,y\n{ROWS}", {"decimal": ","}, r"delimiter and decimal are both ','\. Files with decimal commas mostly have delimiter=';'"),
])
def test_what_is_wrong_is_told_with_its_place_and_the_remedy(tmp_path, text, options, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        table(path, **{"target": "y", "task": "regression" if "y" in text else None, **options})


def test_a_file_that_is_absent_and_files_of_two_tables_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"1 of 1 files do not exist: .*absent\.csv"):
        table(tmp_path / "absent.csv", target="y")
    write(tmp_path, f"x,w,y\n{ROWS}", "a.csv")
    write(tmp_path, f"x,v,y\n{ROWS}", "b.csv")
    with pytest.raises(ValueError, match=r"b\.csv has other columns than .*a\.csv: \['v', 'w'\] differ"):
        table(tmp_path, target="y")


def test_a_validation_cell_of_another_kind_is_named(tmp_path):
    path = write(tmp_path, "x,part,y\n" + "".join(f"{row / 4},train,{row}\n" for row in range(30)) + "many,val,3\n")
    with pytest.raises(ValueError, match=r"t\.csv, row 31: column 'x' must hold a number, as in the training rows\. Got 'many'"):
        table(path, target="y", split="part", task="regression")


def test_rows_without_target_are_left_out_when_the_settings_say_so(tmp_path):
    path = write(tmp_path, f"x,w,y\n1.5,a,\n{ROWS}")
    made = table(path, target="y", rows_without_target="leave_out")
    assert len(made.labels(for_training=True)) + len(made.labels(for_training=False)) == 30


def test_rows_of_other_files_without_target_are_left_out_alike(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("x,w,y\n1.5,a,\n2.5,b,7.25\n3.5,b,8.5\n")
    labels = {}
    for wish in ("leave_out", "refuse"):
        made = table(write(tmp_path, f"x,w,y\n{ROWS}"), target="y", rows_without_target=wish, task="regression")
        try:
            labels[wish] = [row for _, batch in made.get_input_pipeline_train_val(10, str(other), shuffle_batches=False)
                            for row in batch.numpy()[:, 0]]
        except ValueError as error:
            labels[wish] = str(error)
    assert labels["leave_out"] == [7.25, 8.5]
    assert "other.csv, row 1: the target 'y' is missing, as in 1 of 3 rows" in labels["refuse"]
    assert "rows_without_target='leave_out'" in labels["refuse"] and "task=" not in labels["refuse"]
    other.write_text("x,w,y\n1.5,a,\n")
    made = table(write(tmp_path, f"x,w,y\n{ROWS}"), target="y", rows_without_target="leave_out", task="regression")
    with pytest.raises(ValueError, match="other.csv: the target 'y' is missing in all rows: there is nothing to measure"):
        made.get_input_pipeline_train_val(10, str(other), shuffle_batches=False)


@pytest.mark.parametrize("row", range(1, 9))
def test_a_date_that_the_calendar_lacks_is_refused_in_any_row(tmp_path, row):
    days = [f"2010-02-{1 + number % 28:02d}" for number in range(40)]
    days[row] = "2010-02-30"
    file = tmp_path / "days.csv"
    file.write_text("day,y\n" + "".join(f"{day},{number * 0.37}\n" for number, day in enumerate(days)))
    with pytest.raises(ValueError, match=rf"row {row + 1}: column 'day' .*2010-02-30"):
        table(str(file), target="y").rows(for_training=False)


@pytest.mark.parametrize("number", ["1e39", "-1e300"])
@pytest.mark.parametrize("column", ["x", "y"])
def test_a_number_that_float32_cannot_hold_is_refused_in_any_row(tmp_path, number, column):
    for row in range(6):
        cells = [[f"{value * 1.37}", f"{value * 0.77}"] for value in range(40)]
        cells[row][column == "y"] = number
        file = tmp_path / "numbers.csv"
        file.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in cells))
        with pytest.raises(ValueError, match=rf"row {row + 1}: .*{number}"):
            made = table(str(file), target="y", numbers=["x"])
            made.rows(for_training=False), made.labels(for_training=False)
