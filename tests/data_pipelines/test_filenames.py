"""Files of a folder tree are listed as pathlib lists them, in one order, and what cannot be listed is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_pipelines.checks import at_least, file_list, one_of, whole_number
from DataProvider_input_pipeline import extractFilenames

NAMES = ["b/2.jpg", "b/10.jpg", "a.jpg", "b/c/été à Nîmes (1).jpg", "b/c/图.jpg", "b/other.png", "b/UPPER.JPG", "no_extension",
         "b/notjpg", "[odd] *folder/x.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("pattern", ["*.jpg", "*.png", "1*.jpg", "*", "?.jpg", "*[0-9].jpg"])
def test_the_files_are_those_of_pathlib_sorted_by_path(folder, pattern):
    expected = sorted(str(path) for path in folder.rglob(pattern) if path.is_file())
    assert extractFilenames(folder, pattern) == expected and expected


@pytest.mark.parametrize("extension", ["jpg", ".jpg"])
def test_a_plain_extension_is_taken_for_all_files_with_it(folder, extension):
    assert extractFilenames(str(folder), extension) == extractFilenames(folder)


def test_the_paths_start_with_the_folder_as_it_was_given(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert extractFilenames(folder.name, "a.*") == [os.path.join(folder.name, "a.jpg")]


def test_a_link_is_followed_and_a_link_that_leads_back_ends(folder):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.jpg").touch()
    (folder / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    names = [os.path.basename(path) for path in extractFilenames(folder)]
    assert names.count("linked.jpg") == 1 and names.count("a.jpg") == 1


def test_of_two_ways_to_a_folder_the_first_by_name_counts(tmp_path):
    for name in ("m", "z"):
        (tmp_path / name).mkdir()
    (tmp_path / "m" / "x.jpg").touch()
    (tmp_path / "a").symlink_to(tmp_path / "m")
    assert extractFilenames(tmp_path) == [str(tmp_path / "a" / "x.jpg")]


def test_nothing_found_is_an_error_that_names_folder_and_pattern_unless_it_is_allowed(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no file in '{tmp_path}' or below it fits '\*\.tif'"):
        extractFilenames(tmp_path, ".tif")
    assert extractFilenames(tmp_path, "*.tif", raiseOnEmpty=False) == []


def test_a_missing_folder_is_an_error_in_any_case(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist"):
        extractFilenames(tmp_path / "nowhere", raiseOnEmpty=False)


def test_an_empty_pattern_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"file_extension must be a pattern such as '\*\.jpg'"):
        extractFilenames(tmp_path, "")


def test_a_list_of_files_is_checked_before_any_work(folder):
    paths = [folder / "a.jpg", str(folder / "no_extension")]
    assert file_list(paths) == [str(path) for path in paths]
    with pytest.raises(ValueError, match=r"single path '.*a.jpg'. Write \[path\]"):
        file_list(folder / "a.jpg")
    with pytest.raises(ValueError, match="files is empty"):
        file_list([])
    with pytest.raises(FileNotFoundError, match="4 of 5 files do not exist: 0, 1, 2 and 1 more."):
        file_list(["0", "1", "2", "3", *paths[:1]])


@pytest.mark.parametrize(("check", "arguments", "message"), [
    (at_least, ("fraction", -0.5, 0), "fraction must be at least 0. Got -0.5."),
    (at_least, ("fraction", float("nan"), 0), "fraction must be at least 0. Got nan."),
    (at_least, ("fraction", "1", 0), "fraction must be a number of at least 0. Got '1'."),
    (whole_number, ("batch_size", 0, 1), "batch_size must be a whole number of at least 1. Got 0."),
    (whole_number, ("batch_size", 2.0, 1), "batch_size must be a whole number of at least 1. Got 2.0."),
    (whole_number, ("batch_size", True, 1), "batch_size must be a whole number of at least 1. Got True."),
    (one_of, ("mode", "x", ("a", "b")), "mode must be one of 'a', 'b'. Got 'x'.")])
def test_checks_name_the_argument_its_value_and_what_is_expected(check, arguments, message):
    with pytest.raises(ValueError) as error:
        check(*arguments)
    assert str(error.value) == message


def test_checks_let_good_values_pass():
    at_least("fraction", 0, 0)
    whole_number("batch_size", 1, 1)
    one_of("mode", "a", ("a", "b"))
