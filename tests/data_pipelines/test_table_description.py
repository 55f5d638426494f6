"""What a table shows of its columns can be read in one way only; words that differ by case are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from DataProvider_input_pipeline import table


def written_table(path: Path, columns: dict[str, Any]) -> pd.DataFrame:
    """Writes a table with the target `y`, and returns it."""
    frame = pd.DataFrame(columns)
    frame["y"] = np.random.default_rng(0).normal(size=len(frame)).round(3)
    frame.to_csv(path, index=False)
    return frame


def test_categories_with_commas_are_shown_in_quotes(tmp_path):
    written_table(tmp_path / "t.csv", {"city": ["Paris, Texas", "Paris", "it's"] * 20, "long": ["a" * 30, "b"] * 30})
    made = str(table(tmp_path / "t.csv", target="y"))
    assert """ 'Paris', 'Paris, Texas', "it's" """ in made and f" {'a' * 19!r}…, 'b' " in made


@pytest.mark.parametrize(("form", "options"), [("%d.%m.%Y", {}), ("%m/%d/%Y", {"dates": {"day": "MM/DD/YYYY"}}), ("%Y-%m-%d", {}),
                                               ("%d.%m.%Y %H:%M", {})])
def test_the_range_of_dates_is_that_of_time_and_not_of_the_words(tmp_path, form, options):
    hours = np.random.default_rng(1).integers(0, 24 * 900, 60)
    days = pd.Series(pd.Timestamp("2019-11-29") + pd.to_timedelta(hours, unit="h"))
    written_table(tmp_path / "t.csv", {"day": days.dt.strftime(form), "part": ["train", "train", "validation"] * 20})
    training = days[np.arange(60) % 3 < 2]
    made = str(table(tmp_path / "t.csv", target="y", split="part", **options))
    assert f" {training.min().strftime(form)} … {training.max().strftime(form)} " in made


def test_categories_that_differ_only_by_case_are_told_in_one_warning(tmp_path, caplog):
    columns = {"land": ["USA", "usa", "Peru", "STRASSE", "straße"] * 12, "word": ["a", "B", "a", "A"] * 15,
               "name": [f"{'xX'[row % 2]}{row // 2}" for row in range(60)], "number": ["1e3", "1E3", "2"] * 20}
    frame = written_table(tmp_path / "t.csv", columns)
    table(tmp_path / "t.csv", target="word", categories=["number"])
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    counts = frame["word"].value_counts()
    assert warnings == [
        f"{tmp_path / 't.csv'}: words that differ only by case count as different: column 'land': 'STRASSE' (12) beside 'straße' "
        f"(12); column 'land': 'USA' (12) beside 'usa' (12); column 'word': 'a' ({counts['a']}) beside 'A' ({counts['A']}) "
        "(number of cells). Where they mean the same, write them alike in the file."]
