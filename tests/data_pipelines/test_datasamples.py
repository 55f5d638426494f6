"""The data files of datasamples are small, listed with their licence, hold what the README states, and can be made again."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from tests.support.project import ROOT

SAMPLES = ROOT / "datasamples"
README = (SAMPLES / "README.md").read_text(encoding="utf-8")
MB = 1_000_000
EXERCISES = {"PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"}
TEXTURES = ("brick", "grass", "gravel", "stars", "tissue")
NOT_DATA = {"README.md", "make_samples.py"}

ROWS = re.findall(r"^\| `([^`]+)` \| (\d+) \| ([^|]+) \| ([^|]+) \|$", README, re.MULTILINE)
CSV_ROWS = [row for row in ROWS if row[0].endswith(".csv")]
IMAGE_ROWS = [row for row in ROWS if row[0].endswith((".png", ".jpg"))]


def data_files() -> list[Path]:
    """All files but the README, the script and Python's caches."""
    files = [path for path in SAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(path for path in files if path.name not in NOT_DATA)


def read_part(name: str, part: str) -> pd.DataFrame:
    """All CSV files of a sample's part in one table."""
    return pd.concat([pd.read_csv(path) for path in sorted((SAMPLES / name / part).glob("*.csv"))], ignore_index=True)


def read_grey(path: Path) -> np.ndarray:
    """An image as OpenCV reads it with its own number of bands."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


@pytest.fixture(scope="module")
def make_samples() -> dict[str, object]:
    """The names that the script defines."""
    return runpy.run_path(str(SAMPLES / "make_samples.py"))


def test_each_file_stands_in_one_row_of_the_readme_which_tells_its_licence_and_the_number_of_files():
    listed = []
    for pattern, number, _, licence in ROWS:
        found = sorted(SAMPLES.glob(pattern))
        assert len(found) == int(number), pattern
        assert re.search(r"BSD|public domain|CC0|CC BY|permissive", licence), pattern
        listed += found
    assert sorted(listed) == data_files()


def test_no_file_is_larger_than_2_mb_and_all_together_are_below_6_mb():
    sizes = {path: path.stat().st_size for path in data_files()}
    assert max(sizes.values()) <= 2 * MB
    assert sum(sizes.values()) <= 6 * MB


@pytest.mark.parametrize("notice", ["Copyright (c) 2018, David M. Burns", "Copyright (C) 1993-2004 Louis Collins",
                                    "Copyright (c) 2007-2026 The scikit-learn developers"])
def test_the_notices_that_must_stay_with_the_data_are_in_the_readme(notice):
    assert notice in README


@pytest.mark.parametrize("row", CSV_ROWS, ids=[row[0] for row in CSV_ROWS])
def test_tables_have_the_stated_shape_and_but_for_the_cars_no_missing_value(row):
    *least, most, columns = map(int, re.findall(r"\d+", row[2]))
    tables = [pd.read_csv(path) for path in sorted(SAMPLES.glob(row[0]))]
    assert {table.shape[1] for table in tables} == {columns}
    lengths = [len(table) for table in tables]
    assert (min(lengths), max(lengths)) == (least[0] if least else most, most)
    assert any(table.isna().any(axis=None) for table in tables) == (row[0] == "cars/cars.csv")


@pytest.mark.parametrize("part, subjects", [("train", range(1, 8)), ("val", range(8, 11))])
def test_each_subject_of_a_part_did_each_exercise_once_at_25_rows_a_second(part, subjects):
    found = set()
    for path in sorted((SAMPLES / "watch_exercises" / part).glob("*.csv")):
        table = pd.read_csv(path, dtype={"time": str})
        assert list(table.columns) == ["time", "subject", "exercise", "ax", "ay", "az", "wx", "wy", "wz"]
        labels = table[["subject", "exercise"]].drop_duplicates().to_numpy().tolist()
        assert ["_".join(label) for label in labels] == [path.stem]
        seconds = pd.to_timedelta("00:" + table["time"]).dt.total_seconds()
        np.testing.assert_allclose(seconds, np.arange(len(table)) / 25, atol=1e-9)
        found.add(tuple(labels[0]))
    assert found == {(f"s{subject:02d}", exercise) for subject in subjects for exercise in EXERCISES}


def test_the_median_acceleration_is_that_of_the_readme():
    table = pd.concat([read_part("watch_exercises", part) for part in ("train", "val")])
    stated = float(re.search(r"median norm of (\d\.\d+) says g", README).group(1))
    assert np.median(np.linalg.norm(table[["ax", "ay", "az"]], axis=1)) == pytest.approx(stated, abs=0.006)


@pytest.mark.parametrize("name, days", [("co2_weekly", 7), ("seattle_weather", 1)])
def test_dates_follow_one_another_without_a_gap_from_training_to_validation(name, days):
    dates = pd.to_datetime(pd.concat([read_part(name, "train"), read_part(name, "val")])["date"], format="%Y-%m-%d")
    assert set(dates.diff().dropna()) == {pd.Timedelta(days=days)}


def test_cars_hold_words_missing_cells_and_the_stated_mean_and_linear_regression():
    cars = pd.read_csv(SAMPLES / "cars" / "cars.csv")
    assert cars.isna().sum().to_dict() == {name: 6 if name == "Horsepower" else 0 for name in cars}
    validates = np.random.default_rng(0).random(len(cars)) < 0.25
    features = pd.get_dummies(cars.drop(columns=["Name", "Miles_per_Gallon"]).assign(Year=cars["Year"].str[:4].astype(int)))
    features = features.fillna(features[~validates].mean()).astype(float)
    truth = cars["Miles_per_Gallon"]
    predicted = LinearRegression().fit(features[~validates], truth[~validates]).predict(features[validates])
    assert validates.sum() == 93
    assert np.sqrt(np.mean((truth[validates] - truth[~validates].mean()) ** 2)) == pytest.approx(7.31, abs=0.005)
    assert np.sqrt(np.mean((truth[validates] - predicted) ** 2)) == pytest.approx(3.06, abs=0.005)


def test_weather_holds_the_stated_kinds_and_plausible_values():
    table = pd.concat([read_part("seattle_weather", part) for part in ("train", "val")])
    assert set(table["weather"]) == {"drizzle", "fog", "rain", "snow", "sun"}
    assert (table["temp_min_celsius"] <= table["temp_max_celsius"]).all()
    assert (table[["precipitation_mm", "wind_metres_per_second"]] >= 0).all(axis=None)


def test_the_script_makes_the_same_patients_again_in_the_order_of_scikit_learn(make_samples, tmp_path):
    make_samples["diabetes"](tmp_path)
    parts = []
    for part, number in (("train", 354), ("val", 88)):
        path = Path(part) / f"diabetes_{part}.csv"
        assert (tmp_path / path).read_bytes() == (SAMPLES / "diabetes" / path).read_bytes()
        parts.append(pd.read_csv(tmp_path / path))
        assert len(parts[-1]) == number
    reference = load_diabetes(scaled=False)
    expected = np.column_stack([reference.data, reference.target])
    np.testing.assert_array_equal(parts[1], expected[4::5])
    np.testing.assert_array_equal(parts[0], np.delete(expected, np.s_[4::5], axis=0))


def test_the_errors_of_plain_regressions_are_those_of_the_readme():
    train, held_out = read_part("diabetes", "train"), read_part("diabetes", "val")
    inputs = train.columns.drop("progression")
    linear = LinearRegression().fit(train[inputs], train["progression"]).predict(held_out[inputs])
    for stated, predicted in (("mean 77.05", train["progression"].mean()), ("linear regression 57.26", linear)):
        assert stated in README
        error = np.sqrt(np.mean((held_out["progression"] - predicted) ** 2))
        assert error == pytest.approx(float(stated.split()[-1]), abs=0.006)


def test_the_errors_of_plain_forecasts_are_those_of_the_readme():
    values = read_part("co2_weekly", "val")["co2_ppm"].to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(values, 104 + 26)
    past, future = windows[:, :104], windows[:, 104:]
    year_before = past[:, 52:78]
    forecasts = {"3.212": past[:, -1:], "1.774": year_before, "0.849": year_before + past[:, -1:] - past[:, -53:-52]}
    for stated, forecast in forecasts.items():
        assert stated in README
        assert np.sqrt(np.mean((forecast - future) ** 2)) == pytest.approx(float(stated), abs=6e-4)


@pytest.mark.parametrize("row", IMAGE_ROWS, ids=[row[0] for row in IMAGE_ROWS])
def test_images_are_grey_with_the_stated_size(row):
    height, width = map(int, re.findall(r"\d+", row[2])[:2])
    for path in SAMPLES.glob(row[0]):
        image = read_grey(path)
        assert (image.shape, image.dtype) == ((height, width), np.uint8), path


@pytest.mark.parametrize("part, number", [("train", 8), ("val", 3), ("large", 1)])
def test_each_mosaic_has_a_label_map_and_each_part_has_all_five_classes_and_no_other(part, number):
    folder = SAMPLES / "texture_mosaics" / part
    names = [path.name for path in sorted((folder / "raw").iterdir())]
    assert names == [path.name for path in sorted((folder / "labels").iterdir())] and len(names) == number
    counts = sum(np.bincount(read_grey(folder / "labels" / name).ravel(), minlength=256) for name in names)
    assert np.flatnonzero(counts).tolist() == list(range(5))
    assert counts[:5].min() > 0.1 * counts.sum()


def test_the_grey_value_of_a_pixel_does_not_tell_its_texture():
    counts = np.zeros((256, 5), int)
    for path in sorted((SAMPLES / "texture_mosaics" / "train" / "raw").iterdir()):
        np.add.at(counts, (read_grey(path), read_grey(path.parents[1] / "labels" / path.name)), 1)
    path = SAMPLES / "texture_mosaics" / "large"
    predicted = counts.argmax(axis=1)[read_grey(path / "raw" / "mosaic.png")]
    assert np.mean(predicted == read_grey(path / "labels" / "mosaic.png")) < 0.25


@pytest.mark.parametrize("part, number, columns", [("train", 32, (0, 304)), ("val", 24, (312, 512))])
def test_photos_of_a_part_are_balanced_and_lie_apart_in_their_own_columns_of_the_source(part, number, columns):
    folder = SAMPLES / "texture_photos" / part
    assert sorted(path.name for path in folder.iterdir()) == list(TEXTURES)
    for name in TEXTURES:
        corners = [tuple(map(int, path.stem.split("_")[1:])) for path in sorted((folder / name).iterdir())]
        covered = np.zeros((512, 512), int)
        for top, left in corners:
            assert columns[0] <= left and left + 64 <= columns[1]
            covered[top:top + 64, left:left + 64] += 1
        assert len(corners) == number and covered.max() == 1


def test_volumes_hold_raw_and_label_of_one_shape_with_four_classes_and_follow_one_another():
    depths = {}
    for path in sorted((SAMPLES / "brain_t1").glob("*/*.npz")):
        with np.load(path) as file:
            assert sorted(file.files) == ["label", "raw"]
            raw, label = file["raw"], file["label"]
        assert raw.dtype == label.dtype == np.uint8
        assert raw.shape == label.shape and (raw.shape[0], raw.shape[2]) == (73, 78)
        assert np.unique(label).tolist() == [0, 1, 2, 3]
        means = [raw[label == index].mean() for index in range(4)]
        assert means == sorted(means)  # background, fluid, grey and white matter grow brighter in T1
        depths[f"{path.parent.name}/{path.stem}"] = raw.shape[1]
    assert depths == {"train/slab_0": 20, "train/slab_2": 19, "train/slab_4": 20, "val/slab_1": 16, "val/slab_3": 16}


@pytest.mark.parametrize("name", ["texture_mosaics", "texture_photos"])
def test_the_script_makes_the_same_images_again(make_samples, name, tmp_path):
    pytest.importorskip("skimage")
    make_samples[name](tmp_path)
    made = {path.relative_to(tmp_path): read_grey(path) for path in sorted(tmp_path.rglob("*.*"))}
    committed = {path.relative_to(SAMPLES / name): read_grey(path) for path in sorted((SAMPLES / name).rglob("*.*"))}
    assert made.keys() == committed.keys()
    for path, image in made.items():
        np.testing.assert_array_equal(image, committed[path], err_msg=str(path))


def test_a_package_that_is_not_installed_is_named(make_samples):
    with pytest.raises(SystemExit, match="no-such-package is not installed"):
        make_samples["packaged_file"]("no-such-package", "data.csv")
    with pytest.raises(SystemExit, match="numpy has no file 'no_such_file.csv'"):
        make_samples["packaged_file"]("numpy", "no_such_file.csv")


def test_an_unknown_sample_is_refused_with_the_known_names(make_samples, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_samples.py", "co2"])
    with pytest.raises(SystemExit):
        make_samples["main"]()
    assert "unknown: co2. Known: watch_exercises, co2_weekly" in capsys.readouterr().err


def test_a_module_that_cannot_be_imported_is_named(make_samples, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    monkeypatch.setattr(sys, "argv", ["make_samples.py", "texture_photos", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="skimage.data is not installed"):
        make_samples["main"]()
