"""A new folder is there whole or not at all, and nothing of the user's is overwritten."""

from __future__ import annotations

import pytest

from expman.errors import UsageError
from expman.first_steps.new_folder import check_name, write_new_folder


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_are_there_and_others_may_read_them(current_folder):
    assert write_new_folder("cars", {"a.py": "x = 'ä'\n", "README.md": "#\n"}).absolute() == current_folder / "cars"
    assert (current_folder / "cars" / "a.py").read_text(encoding="utf-8") == "x = 'ä'\n"
    plain = current_folder / "plain"
    plain.mkdir()
    assert (current_folder / "cars").stat().st_mode == plain.stat().st_mode
    assert sorted(file.name for file in current_folder.iterdir()) == ["cars", "plain"]


def test_a_failure_in_the_middle_leaves_nothing_behind(current_folder):
    with pytest.raises(UsageError, match="cannot be written: File name too long. Go to a folder"):
        write_new_folder("cars", {"a.py": "", "b" * 300: ""})
    assert list(current_folder.iterdir()) == []


def test_text_that_cannot_be_written_leaves_nothing_behind(current_folder):
    with pytest.raises(UnicodeEncodeError):
        write_new_folder("cars", {"a.py": "", "b.py": "\udcff"})
    assert list(current_folder.iterdir()) == []


def test_a_folder_in_which_nobody_may_write_is_told(monkeypatch):
    monkeypatch.chdir("/proc")
    with pytest.raises(UsageError, match=r"the folder /proc/cars cannot be written: .*\. Go to a folder in which you may write"):
        write_new_folder("cars", {"a.py": ""})


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_is_refused_with_the_remedy(current_folder, kind):
    path = current_folder / "cars"
    {"folder": path.mkdir, "file": lambda: path.write_text("mine"), "dangling link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(UsageError, match="cars is there already, and nothing of yours is overwritten.*mv cars cars_old"):
        check_name("cars")


@pytest.mark.parametrize(("name", "message"), [
    ("my cars", "Take for example my_cars"), ("-x", "begin with a letter or digit"), (".hidden", "Take for example hidden"),
    ("größe", "Take for example gr_e"), ("€", "Take for example my_experiment"), ("a" * 61, "at most 60 characters"),
    ("somewhere/cars", "Go where it is to be first: cd somewhere"), ("..", "give a NAME")])
def test_odd_names_are_refused_with_one_that_goes(name, message):
    with pytest.raises(UsageError, match=message):
        check_name(name)
