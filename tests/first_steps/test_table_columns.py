"""What a table must be told of odd columns: the file is then taken as it is by `DataProvider_input_pipeline.table`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_pipelines.table.reading import TableFormat
from DataProvider_input_pipeline import table
from expman.first_steps.table_columns import foresee

NUM_ROWS = 40


def arguments_for(cells: list[str], *, name: str = "x", **others: list[str]) -> dict:
    target = [str(row % 7 + 0.5) for row in range(NUM_ROWS)]
    frame = pd.DataFrame({name: (cells * NUM_ROWS)[:NUM_ROWS], "y": target, **others}, dtype=object)
    return foresee(frame, np.arange(8, NUM_ROWS), target="y", form=TableFormat()).as_keywords()


@pytest.mark.parametrize(("cells", "expected"), [
    (["1", "2.5", "3", "4"], {}), (["a", "b", "a"], {}), (["", "1", "2"], {}), (["2020-01-01", "2021-02-28"], {}),
    (["31.12.2020", "01.01.2020"], {}), (["01234", "5678", "9999"], {}),
    (["1", "2", "3", "4", "?", "5"], {"missing": ["?"]}), (["1", "2", "3", "4", "5", "6", "none yet"], {"missing": ["none yet"]}),
    (["1", "2", "inf"], {"missing": ["inf"]}), (["1", "2", "1e400"], {"categories": ["x"]}),
    (["1", "2", "2 kg"], {"categories": ["x"]}),
    ([f"{number}" for number in range(30)] + [f"{number} kg" for number in range(10)],
     {"ignore": ["x"]}),
    (["31/12/2020", "01/02/2020"], {"dates": {"x": "DD/MM/YYYY"}}),
    (["12/31/2020", "01/02/2020"], {"dates": {"x": "MM/DD/YYYY"}}),
    (["01/02/2020", "03/04/2020"], {"dates": {"x": "DD/MM/YYYY"}}),
    (["2020-01-01", "2020-01-02", "unknown", "2020-01-04"], {"missing": ["unknown"]}),
    (["2020-01-01", "2020-02-30", "2020-01-04"], {"categories": ["x"]}),
    (["01/02/2020", "13/02/2020", "-"], {"missing": ["-"], "dates": {"x": "DD/MM/YYYY"}})])
def test_what_is_told(cells, expected, tmp_path):
    assert arguments_for(cells) == expected


def test_a_word_that_means_something_elsewhere_is_not_taken_for_missing():
    other = (["none yet", "soon"] * NUM_ROWS)[:NUM_ROWS]
    assert arguments_for(["1", "2", "3", "4", "5", "6", "none yet"], z=other) == {"categories": ["x"]}


def test_of_two_columns_with_one_served_name_the_second_is_left_out():
    assert arguments_for(["1", "2"], name="a (b)", a_b=["1.5"] * NUM_ROWS) == {"ignore": ["a_b"]}


def test_of_two_columns_that_differ_only_by_case_the_second_is_left_out():
    assert arguments_for(["1", "2"], name="A", a=["1.5"] * NUM_ROWS) == {"ignore": ["a"]}


def test_the_table_takes_the_file_with_what_is_told(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "marks": ["?" if row % 9 == 0 else str(row * 1.5) for row in range(NUM_ROWS)],
        "units": [f"{row % 3}{' kg' if row % 4 == 0 else ''}" for row in range(NUM_ROWS)],
        "day": [f"{1 + row % 12}/{1 + row % 12}/2020" for row in range(NUM_ROWS)],
        "a b": [f"{value:.2f}" for value in rng.normal(size=NUM_ROWS)], "a_b": ["u", "v"] * (NUM_ROWS // 2),
        "late": ["x" if row in (3, 5) else str(row * 2.5) for row in range(NUM_ROWS)],
        "y": [f"{value:.2f}" for value in rng.normal(size=NUM_ROWS)]})
    file = tmp_path / "t.csv"
    frame.to_csv(file, index=False)
    with pytest.raises(ValueError, match="would both be served as 'a_b'"):
        table(file, target="y")
    in_validation = np.random.default_rng(0).random(NUM_ROWS) < 0.2
    told = foresee(frame, np.flatnonzero(~in_validation), target="y", form=TableFormat())
    data = table(file, target="y", task="regression", **told.as_keywords())
    assert [column.name for column in data.columns] == ["marks", "units", "day", "a b", "late"]
