"""Tables: kinds inferred, statistics of the training rows alone, and numbers as pandas and scikit-learn make them."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from data_pipelines.table.dates import date_parts, formats_that_fit
from DataProvider_input_pipeline import table

NUM_ROWS = 200


def people(num_rows: int = NUM_ROWS) -> pd.DataFrame:
    """Rows with numbers, words, a date, missing cells, a constant and two kinds of identifiers."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({
        "id": np.arange(1, num_rows + 1),
        "name": [f"person {random.integers(10**9)}" for _ in range(num_rows)],
        "age": random.integers(1, 90, num_rows).astype(object),
        "income (k$)": np.round(random.normal(40, 12, num_rows), 2),
        "sex": random.choice(["female", "male", ""], num_rows, p=[0.5, 0.4, 0.1]),
        "seen": pd.to_datetime("2019-01-01") + pd.to_timedelta(random.integers(0, 1000 * 24 * 60, num_rows), unit="min"),
        "planet": "Earth",
        "nothing": "",
        "part": np.where(np.arange(num_rows) % 4, "train", "validation")})
    frame.loc[random.choice(num_rows, 15, replace=False), "age"] = ""
    frame["seen"] = frame["seen"].dt.strftime("%Y-%m-%d %H:%M")
    frame["price"] = np.round(3 * frame["income (k$)"] + (frame["sex"] == "male") * 20 + random.normal(size=num_rows), 3)
    return frame


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.csv"
    people().to_csv(path, index=False)
    return path


def features_of(made, *, for_training: bool) -> np.ndarray:
    return made.data_preprocess({name: tf.constant(cells) for name, cells in made.rows(for_training=for_training).items()}).numpy()


def test_each_column_becomes_what_pandas_and_scikit_learn_make_of_it(file):
    made = table(file, target="price", split="part")
    frame = people().replace("", np.nan)
    known, unknown = frame[frame["part"] == "train"], frame[frame["part"] == "validation"]
    parts = []
    for name in ("age", "income (k$)"):
        scaler = StandardScaler().fit(known[[name]].astype(float))
        parts.append(SimpleImputer(strategy="constant", fill_value=0).fit_transform(scaler.transform(unknown[[name]].astype(float))))
        if known[name].isna().any():
            parts.append(MissingIndicator().fit(known[[name]].isna().replace({True: np.nan, False: 1.0})).transform(
                unknown[[name]].isna().replace({True: np.nan, False: 1.0})))
    parts.append(OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known[["sex"]].fillna("~")).transform(
        unknown[["sex"]].fillna("~")))
    known_date, date = pd.to_datetime(known["seen"]), pd.to_datetime(unknown["seen"])
    parts.append(StandardScaler().fit(known_date.dt.year.to_numpy()[:, None]).transform(date.dt.year.to_numpy()[:, None]))
    hour = date.dt.hour + date.dt.minute / 60
    for values, period in ((date.dt.month - 1, 12), (date.dt.day - 1, 31), (date.dt.day_of_week, 7), (hour, 24)):
        parts += [np.sin(2 * np.pi * values / period).to_numpy()[:, None], np.cos(2 * np.pi * values / period).to_numpy()[:, None]]
    np.testing.assert_allclose(features_of(made, for_training=False), np.hstack(parts).astype(float), atol=1e-6)
    np.testing.assert_array_equal(made.labels(for_training=False)[:, 0], unknown["price"].to_numpy(np.float32))


def test_the_table_shows_kinds_missing_cells_ranges_and_why_columns_are_left_out(file):
    made = table(file, target="price", split="part")
    assert made.left_out.keys() == {"id", "name", "planet", "nothing", "part"}
    lines = {line.split("  ")[0]: line for line in str(made).splitlines()[2:]}
    known = people()[lambda frame: frame["part"] == "train"]
    assert f"number    {(known['age'] == '').sum()} " in lines["age"] and "1 … 89" in lines["age"]
    assert "served as income_k" in lines["income (k$)"]
    assert "one-hot, 2 categories, indicator of missing cells" in lines["sex"] and "'female', 'male'" in lines["sex"]
    assert "year, month, day, weekday, hour of YYYY-MM-DD" in lines["seen"]
    assert "left out: like an identifier: whole numbers" in lines["id"]
    assert f"{known['name'].nunique()} different words in {len(known)} cells" in lines["name"]
    assert "left out: constant: 'Earth'" in lines["planet"]
    assert "left out: all cells are missing" in lines["nothing"]
    assert str(made).startswith(f"{file}: 200 rows, 150 to train on, 50 to validate on\ntarget price: regression, mean ")


def test_what_validation_rows_hold_changes_no_statistic(file, tmp_path):
    frame = people()
    is_validation = frame["part"] == "validation"
    frame.loc[is_validation, "age"] = 10**6
    frame.loc[is_validation, "sex"] = "unheard of"
    frame.loc[is_validation, "seen"] = "1066-10-14"
    frame.loc[is_validation, "price"] = -1e9
    changed = tmp_path / "changed.csv"
    frame.to_csv(changed, index=False)
    before, after = table(file, target="price", split="part"), table(changed, target="price", split="part")
    assert before.recorded_statistics() == after.recorded_statistics()
    assert (features_of(after, for_training=False)[:, :1] > 1e4).all()
    assert list(before.recorded_statistics()["target"].values())[1:] == [
        pytest.approx(people()["price"][~is_validation].mean()), pytest.approx(people()["price"][~is_validation].std(ddof=0))]


def test_served_rows_with_unknown_words_and_missing_cells_get_defined_features(file):
    made = table(file, target="price", split="part")
    row = {"age": [np.nan, np.inf, 5.0], "income_k": [1.0, 1.0, np.nan], "sex": ["Martian", "NA", " male "],
           "seen": ["2020-02-30 10:00", "", "yesterday"]}
    features = made.data_preprocess({name: tf.constant(cells, tf.string if name in ("sex", "seen") else tf.float64)
                                     for name, cells in row.items()}).numpy()
    assert features[:, :2].tolist() == [[0, 1], [0, 1], [features[2, 0], 0]]
    assert features[2, 2] == 0  # the mean; no training cell is missing, so that there is no indicator
    assert features[:, 3:6].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert not features[:, 6:].any()
    assert set(made.get_input_pipeline_serving()) == set(row)


@pytest.mark.parametrize(("date_format", "pattern"), [
    ("YYYY-MM-DD", "%Y-%m-%dT%H:%M:%SZ"), ("YYYY-MM-DD", "%Y/%m/%d"), ("DD.MM.YYYY", "%d.%m.%Y %H:%M"), ("DD/MM/YYYY", "%d/%m/%Y"),
    ("MM/DD/YYYY", "%m/%d/%Y %H:%M:%S")])
def test_dates_of_many_centuries_are_taken_apart_as_by_pandas(date_format, pattern):
    random = np.random.default_rng(1)
    dates = pd.Series(pd.to_datetime("1700-01-01") + pd.to_timedelta(random.integers(0, 550 * 365 * 24 * 60, 3000), unit="min"))
    dates = pd.concat([dates, pd.Series(pd.to_datetime(["1900-02-28", "2000-02-29", "2024-12-31", "2100-03-01"]))])
    cells = dates.dt.strftime(pattern).reset_index(drop=True)
    assert formats_that_fit(cells) == [date_format]
    parts, is_date = date_parts(tf.constant(list(cells)), date_format)
    assert is_date.numpy().all()
    read = pd.to_datetime(cells, format=pattern)
    for name, expected in {"year": read.dt.year, "month": read.dt.month, "day": read.dt.day, "weekday": read.dt.day_of_week,
                           "hour": read.dt.hour + read.dt.minute / 60}.items():
        np.testing.assert_allclose(parts[name], expected, atol=1e-9, err_msg=name)


def test_categories_of_many_values_are_embedded_and_words_of_one_row_share_a_place(tmp_path):
    cities = [f"city {number}" for number in range(30) for _ in range(4)] + ["Atlantis", "Utopia"]
    path = tmp_path / "cities.csv"
    pd.DataFrame({"city": cities, "zip": [f"{row % 7:05d}" for row in range(122)], "x": np.arange(122) % 11 / 2,
                  "part": ["train"] * 122, "y": np.arange(122) % 13 / 3}).to_csv(path, index=False)
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("city 3,00001,1,validation,0.5\nShangri-La,99999,1,validation,0.5\n")
    made = table(path, target="y", split="part")
    features = made.data_preprocess({name: tf.constant(cells) for name, cells in made.rows(for_training=False).items()})
    assert {name: part.shape[1] for name, part in features.items()} == {"values": 8, "category_city": 31}
    places = features["category_city"].numpy()
    assert places.sum(axis=1).tolist() == [1, 1] and places[1, 30] == 1  # rare ones share the last
    assert features["values"].numpy()[:, :7].tolist() == [[0, 1, 0, 0, 0, 0, 0], [0] * 7]


def test_numbers_that_name_things_become_one_hot_when_the_settings_say_so(tmp_path):
    path = tmp_path / "classes.csv"
    pd.DataFrame({"pclass": [1, 2, 3, 3, 1, 2] * 10, "part": (["train"] * 5 + ["val"]) * 10,
                  "alive": ["yes", "no", "no"] * 20}).to_csv(path, index=False)
    made = table(path, target="alive", split="part", categories=["pclass"])
    assert made.get_input_pipeline_serving() == {"pclass": tf.TensorSpec([None], tf.float64)}
    assert made.data_preprocess({"pclass": tf.constant([3.0, 1.0, 7.0, np.nan], tf.float64)}).numpy().tolist() == [
        [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert made.n_outputs == 2 and made.target.classes == ("no", "yes")
    answers = made.model_outputs_postprocessing_for_serving({"prediction": tf.constant([[2.0, 1.0], [0.0, 3.0]])})
    assert answers["prediction"].numpy().tolist() == [b"no", b"yes"]
    np.testing.assert_allclose(answers["probabilities"].numpy()[0], np.exp([2, 1]) / np.exp([2, 1]).sum(), rtol=1e-6)


def test_regression_loss_is_of_the_normalised_target_and_answers_are_in_its_units(file):
    made = table(file, target="price", split="part")
    labels = tf.constant(made.labels(for_training=True))
    scaler = StandardScaler().fit(labels.numpy().astype(np.float64))
    predictions = np.linspace(-1, 1, len(labels))[:, None]
    expected = np.mean((predictions - scaler.transform(labels.numpy().astype(np.float64))) ** 2)
    assert float(made.get_total_loss(tf.constant(predictions, tf.float32), labels)) == pytest.approx(expected, rel=1e-4)
    answers = made.model_outputs_postprocessing_for_serving({"prediction": tf.constant(predictions, tf.float32)})
    np.testing.assert_allclose(answers["prediction"], scaler.inverse_transform(predictions)[:, 0], rtol=1e-5)


def test_the_split_is_that_of_the_seed_and_rows_added_later_leave_it(file, tmp_path):
    longer = tmp_path / "longer.csv"
    people().assign(extra=1).drop(columns="extra").to_csv(longer, index=False)
    people().head(20).assign(id=range(1000, 1020)).to_csv(longer, mode="a", header=False, index=False)

    def ages(path, seed):
        return table(path, target="price", split=0.3, seed=seed, ignore=["part"]).labels(for_training=False)[:, 0]

    first = ages(file, 1)
    assert len(first) == pytest.approx(60, abs=20)
    np.testing.assert_array_equal(first, ages(file, 1))
    np.testing.assert_array_equal(first, ages(longer, 1)[:len(first)])
    assert not np.array_equal(first, ages(file, 2))


def test_rows_of_a_group_stay_in_one_part(tmp_path):
    path = tmp_path / "visits.csv"
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"patient": random.integers(0, 30, 300), "x": random.normal(size=300), "y": random.normal(size=300)})
    frame.to_csv(path, index=False)
    made = table(path, target="y", split=0.3, group="patient")
    validated = frame["y"].astype(np.float32).isin(made.labels(for_training=False)[:, 0])
    assert not set(frame["patient"][validated]) & set(frame["patient"][~validated])
    assert 0 < validated.mean() < 0.6
    assert [column.name for column in made.columns] == ["x"]


def test_a_pass_gives_every_training_row_once_in_another_order_each_time(file):
    made = table(file, target="price", split="part")
    dataset = made.get_input_pipeline_train_val(batch_size=32, raw_data_files_folder=str(file), shuffle_batches=True)
    passes = [np.concatenate([labels.numpy()[:, 0] for _, labels in dataset]) for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(made.labels(for_training=True)[:, 0])
    assert not np.array_equal(*passes)
    validation = made.get_input_pipeline_train_val(batch_size=32, raw_data_files_folder=str(file), shuffle_batches=False)
    np.testing.assert_array_equal(np.concatenate([labels.numpy() for _, labels in validation]), made.labels(for_training=False))


def test_decimal_commas_other_delimiters_and_encodings_are_read(tmp_path):
    path = tmp_path / "prices.csv"
    rows = "\n".join(f"{'Köln' if row % 2 else 'Bonn'};{row},5;{row * 2},25;{'train' if row % 3 else 'val'}" for row in range(30))
    path.write_text(f"Stadt;größe;preis;part\n{rows}\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"is not written in utf-8.*encoding='latin-1'"):
        table(path, target="preis", split="part", delimiter=";", decimal=",")
    made = table(path, target="preis", split="part", delimiter=";", decimal=",", encoding="latin-1")
    assert made.rows(for_training=False)["grosse"].tolist() == [row + 0.5 for row in range(0, 30, 3)]
    assert made.labels(for_training=False)[1, 0] == 6.25
    assert made.columns[0].vocabulary == ("Bonn", "Köln")


def test_statistics_survive_json_to_the_bit_and_changed_rows_are_told(file, tmp_path, caplog):
    made = table(file, target="price", split="part")
    record = json.loads(json.dumps(made.recorded_statistics()))
    again = table(file, target="price", split="part")
    with caplog.at_level(logging.WARNING):
        again.use_statistics(record)
    assert again.columns == made.columns and again.target == made.target
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    frame = people()
    frame.loc[1, "age"] = 5000
    other = tmp_path / "other.csv"
    frame.to_csv(other, index=False)
    changed = table(other, target="price", split="part")
    with caplog.at_level(logging.WARNING):
        changed.use_statistics(record)
    assert changed.recorded_statistics() == made.recorded_statistics()
    assert "the training rows of 'age' are no longer those of the start" in caplog.text


def test_rows_that_are_in_both_parts_are_counted(tmp_path, caplog):
    path = tmp_path / "twice.csv"
    numbers = np.arange(40) / 8
    pd.DataFrame({"x": np.tile(numbers, 2), "y": np.tile(numbers + 1, 2)}).to_csv(path, index=False)
    with caplog.at_level(logging.WARNING):
        made = table(path, target="y", split=0.3)
    repeated = np.isin(made.rows(for_training=False)["x"], made.rows(for_training=True)["x"])
    assert 0 < repeated.sum() < len(repeated)
    assert f"{repeated.sum()} of {len(repeated)} validation rows are also, cell by cell, in the training part" in caplog.text


def test_other_files_validate_with_all_their_rows_and_the_statistics_of_the_training_rows(file, tmp_path):
    made = table(file, target="price", split="part")
    other = people(230)[200:]
    other.to_csv(tmp_path / "other.csv", index=False)
    dataset = made.get_input_pipeline_train_val(batch_size=100, raw_data_files_folder=str(tmp_path / "other.csv"), shuffle_batches=False)
    (features, labels), = dataset
    np.testing.assert_array_equal(labels[:, 0], other["price"].to_numpy(np.float32))
    known = people()[lambda frame: frame["part"] == "train"]["income (k$)"].to_numpy()[:, None]
    np.testing.assert_allclose(made.data_preprocess(features)[:, 2],
                               StandardScaler().fit(known).transform(other[["income (k$)"]].to_numpy())[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="names other files than the table: .*people.csv. Name the same"):
        made.get_input_pipeline_train_val(batch_size=100, raw_data_files_folder=str(tmp_path / "other.csv"), shuffle_batches=True)
    other.drop(columns=["age", "price"]).to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(ValueError, match="less.csv lacks the columns 'age', 'price' of .*people.csv"):
        made.get_input_pipeline_train_val(batch_size=100, raw_data_files_folder=str(tmp_path / "less.csv"), shuffle_batches=False)


def test_a_relative_name_is_found_beside_the_module_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    rows = "\n".join(f"{number * 7 % 30},{2 * number}" for number in range(30))
    (tmp_path / "project" / "rows.csv").write_text(f"a,b\n{rows}\n")
    monkeypatch.chdir(tmp_path)
    source = "from DataProvider_input_pipeline import table\ndata = table('rows.csv', target='b')\n"
    namespace = {"__file__": str(tmp_path / "project" / "mysettings.py")}
    exec(source, namespace)
    assert len(namespace["data"].columns) == 1


def test_a_served_number_that_float32_cannot_hold_counts_as_missing(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_text("x,y\n" + "".join(f"{value * 1.37},{value * 0.77}\n" for value in range(40)))
    data = table(str(file), target="y", numbers=["x"])
    huge, missing = data.data_preprocess({"x": tf.constant([1e39, 1e300, math.inf, math.nan], tf.float64)}).numpy(), 0.0
    assert (huge == missing).all()


def test_the_loss_of_a_table_weighs_its_rows(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_text("x,y\n" + "".join(f"{value * 1.37},{value * 0.77}\n" for value in range(40)))
    data = table(str(file), target="y", numbers=["x"])
    predictions, labels, weights = tf.zeros([3, 1]), tf.constant([[1.0], [2.0], [3.0]]), tf.constant([0.0, 1.0, 2.0])
    normalised = (np.array([1.0, 2, 3]) - data.target.mean) / data.target.standard_deviation
    assert float(data.get_total_loss(predictions, labels, weights)) == pytest.approx(np.mean([0, 1, 2] * normalised**2), rel=1e-5)
    assert float(data.get_total_loss(predictions, labels)) == pytest.approx(np.mean(normalised**2), rel=1e-5)
