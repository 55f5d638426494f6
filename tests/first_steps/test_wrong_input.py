"""Each wrong input of --init gets a message that says what is wrong and what to do, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

import experiments_manager
from tests.support.first_data import picture, save, write_masks, write_split_images
from tests.support.project import ROOT

CARS = str(ROOT / "datasamples" / "cars" / "cars.csv")


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys, folder, arguments: str | list[str]) -> str:
    """What --init says, which exits with 2 and leaves the folder as it is."""
    before = sorted(folder.rglob("*"))
    try:
        code = experiments_manager.main(["--init", *(arguments.split() if isinstance(arguments, str) else arguments)])
    except SystemExit as end:
        code = end.code
    assert code == 2 and sorted(folder.rglob("*")) == before
    return capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    ("new", "--init new needs --like, one of these"), ("new --data x", "--init new needs --like, the kind of your data."),
    ("new --like tabulr --data x --target y", "Did you mean tabular?"), ("new --like Digits", "Did you mean digits?"),
    ("new --like zzz", "there is no such example or kind of data.\n"), ("new --like images", "--like images needs --data PATH: "
                                                                                             "the folder that"),
    (f"new --like digits --data {CARS}", "is an example that brings its own data: --data does not go with it"),
    ("new --like digits --target y", "--target does not go with it"), ("new --like tabular --data nowhere.csv --target "
                                                                       "y", "no such file or folder"),
    (f"new --like tabular --data {CARS}", "needs --target COLUMN, the column to predict."),
    (f"new --like tabular --data {CARS} --target mpg", "the data have no such column. They have: 'Name', 'Miles_per_Gallon'"),
    (f"new --like tabular --data {CARS} --target Origins", "Did you mean 'Origin'?"),
    (f"new --like tabular --data {CARS} --target Name", "different words in 398 rows, e.g. 'chevrolet chevelle malibu', which "
                                                        "are no classes"),
    (f"new --like images --data {CARS}", "it is a file. Name the folder that holds the images"),
    (f"new --like images --data {CARS} --target y", "--target y does not go with --like images"),
    (f"new --like timeseries --data {CARS} --target Origin", "the target 'Origin' does not hold numbers only, e.g. 'USA'"),
    (f"new --like timeseries --data {CARS}", "needs --target COLUMN, the series to forecast"),
    (f"new --like text --data {CARS}", "--like text needs --target COLUMN"),
    (". --like digits", "give a NAME"), (".. --like digits", "give a NAME"),
    ("--like digits", "--init needs NAME"), ("--target y", "--init needs NAME"), ("new --usersettings x", "not allowed with "
                                                                                                          "argument")])
def test_what_the_message_says(capsys, current_folder, arguments, message):
    assert message in refusal(capsys, current_folder, arguments)


def test_the_examples_and_kinds_are_listed_with_the_message(capsys, current_folder):
    message = refusal(capsys, current_folder, "new")
    assert "\n  images " in message and "\n  digits " in message and "Handwritten digits: 8 × 8 grey images" in message


@pytest.mark.parametrize("flags", ["--like digits --usersettings x", "--target y --report x"])
def test_flags_of_init_go_with_nothing_else(capsys, current_folder, flags):
    with pytest.raises(SystemExit) as end:
        experiments_manager.main(flags.split())
    assert end.value.code == 2 and "goes with --init only" in capsys.readouterr().err


def test_a_misspelt_path_is_told_with_the_nearest(capsys, current_folder):
    (current_folder / "cars.csv").write_text("a,b\n1,2\n")
    assert "Did you mean cars.csv?" in refusal(capsys, current_folder, "new --like tabular --data carz.csv --target y")


@pytest.mark.parametrize(("content", "message"), [
    ("", "is empty"), ("a,y\n" + "1,2\n" * 30, "the target 'y' is '2' in all rows"), ("a,y\n,1\n,2\n,3\n,4\n", "'a': missing in "
                                                                                                               "all training "
                                                                                                               "rows"),
    ("a,b,y\n" + "".join(f"{row},name {row},{row}.5\n" for row in range(60)), "'a': like an identifier"),
    ("a,y\n5,1\n5,2.5\n5,3\n5,4\n", "no column is left to learn from: 'a': the same in all training rows: '5'")])
def test_a_table_with_nothing_to_learn_is_told(capsys, current_folder, content, message):
    (current_folder / "t.csv").write_text(content)
    assert message in refusal(capsys, current_folder, "new --like tabular --data t.csv --target y")


def test_short_series_are_told(capsys, current_folder):
    (current_folder / "t.csv").write_text("y\n" + "1\n" * 3)
    (current_folder / "s.csv").write_text("t,y\n" + "".join(f"2020-01-{row:02d},{row}\n" for row in range(1, 20)))
    assert "there is a single column" in refusal(capsys, current_folder, "new --like timeseries --data t.csv")
    assert "the shortest of 1 series has 19 rows, too few" in refusal(capsys, current_folder, "new --like timeseries --data "
                                                                                              "s.csv")


def test_series_in_16_bit_text_and_names_of_several_lines_are_told(capsys, current_folder):
    rows = "".join(f"d{row},{row}\n" for row in range(200))
    (current_folder / "s.csv").write_text(f"t,y\n{rows}", encoding="utf-16")
    (current_folder / "u.csv").write_text(f't,"y\nz"\n{rows}')
    assert "UTF-16, in which series cannot be read. Save it as CSV in UTF-8" in refusal(
        capsys, current_folder, "new --like timeseries --data s.csv")
    assert r"the column 'y\nz' has several lines. Write it in one" in refusal(capsys, current_folder, "new --like timeseries --data "
                                                                                                     "u.csv")


def test_missing_cells_written_in_several_ways_are_told(capsys, current_folder):
    (current_folder / "s.csv").write_text("t,y\n" + "".join(f"d{row},{['?', '-', row][min(row, 2)]}\n" for row in range(200)))
    assert "missing cells are written in several ways: '?', '-'. Empty these cells" in refusal(
        capsys, current_folder, "new --like timeseries --data s.csv")


def test_a_table_without_texts_is_told(capsys, current_folder):
    (current_folder / "t.csv").write_text("a,y\n" + "one,b\ntwo,c\n" * 20)
    assert "no column holds texts: 'a' has 1.0 words" in refusal(capsys, current_folder, "new --like text --data t.csv --target "
                                                                                         "y")


def test_texts_with_numbers_instead_of_classes_are_told(capsys, current_folder):
    (current_folder / "t.csv").write_text("a,y\n" + "".join(f"one two three four,{row}.5\n" for row in range(30)))
    assert "--like text tells classes apart" in refusal(capsys, current_folder, "new --like text --data t.csv --target y")


def images(folder, *names):
    for number, name in enumerate(names):
        save(picture(2, 20, 20, seed=number), folder / "photos" / name)


@pytest.mark.parametrize(("names", "message"), [
    ((), "no such file or folder"), (("a/0.png", "a/1.png"), "all 2 images lie in one folder, 'a': with a single class"),
    (("0.png", "a/1.png", "b/2.png"), "1 images, such as 0.png, lie in no folder of a class"),
    (("a/0.png", "b/1.png", "c/2.png"), "3 images of 3 classes are too few"),
    (("train/a/0.png", "train/b/1.png", "train/a/2.png", "train/b/3.png", "val/c/4.png"), "the classes 'c' have no training "
                                                                                          "image"),
    (("train/a/0.png", "train/b/1.png", "train/a/2.png", "train/b/3.png", "val/.x.png"), "there is no image in the folder or "
                                                                                         "below it")])
def test_folders_that_are_no_classes_are_told(capsys, current_folder, names, message):
    images(current_folder, *names)
    assert message in refusal(capsys, current_folder, "new --like images --data photos")


def test_a_folder_without_images_is_told_with_what_it_holds(capsys, current_folder):
    (current_folder / "photos").mkdir()
    assert "It is empty." in refusal(capsys, current_folder, "new --like images --data photos")
    (current_folder / "photos" / "a.csv").write_text("x")
    assert "It holds 1 files of .csv." in refusal(capsys, current_folder, "new --like images --data photos")


def test_images_of_several_types_or_unreadable_ones_are_told(capsys, current_folder):
    for name in "ab":
        for number in range(3):
            file = current_folder / "photos" / name / f"{number}.png"
            save(np.full((8, 8), 300 if name == "b" else 3, np.uint16 if name == "b" else np.uint8), file)
    assert "the images are of several types: uint8" in refusal(capsys, current_folder, "new --like images --data photos")
    for file in (current_folder / "photos").rglob("*.png"):
        file.write_bytes(b"no image")
    assert "none of the images can be read, e.g. " in refusal(capsys, current_folder, "new --like images --data photos")


def test_label_maps_that_do_not_fit_are_told(capsys, current_folder):
    command = "new --like segmentation --data seg"
    folder = current_folder / "seg"
    write_masks(folder)
    mask = folder / "Masks" / "p0.png"
    save(np.zeros((50, 80, 3), np.uint8), mask)
    assert "has 3 bands. Label maps have one" in refusal(capsys, current_folder, command)
    save(np.zeros((50, 81), np.uint8), mask)
    assert "p0.png has 50 × 81 pixels, its image 50 × 80" in refusal(capsys, current_folder, command)
    save(np.arange(4000, dtype=np.uint8).reshape(50, 80), mask)
    assert "256 different values, which are no classes" in refusal(capsys, current_folder, command)
    mask.unlink()
    assert "raw_files without reference" in refusal(capsys, current_folder, command)
    (folder / "Masks").rename(folder / "other")
    assert "and lacks labels/. It holds: images, other" in refusal(capsys, current_folder, command)


def test_images_without_label_maps_are_told(capsys, current_folder):
    write_split_images(current_folder / "photos")
    assert "it must hold a folder images/ and a folder labels/" in refusal(capsys, current_folder, "new --like segmentation "
                                                                                                   "--data photos")
