"""The shipped examples become folders of their own, by their names."""

from __future__ import annotations

import ast
import re

import pytest

import experiments_manager
from expman.first_steps import examples
from expman.first_steps.examples import example_files, shipped_examples
from expman.first_steps.first_steps import write_first_steps
from expman.settings.loading import load_settings
from tests.support.project import ROOT

NAMES = [example.name for example in shipped_examples()]


def test_every_example_that_has_its_data_is_offered_with_the_first_line_of_its_docstring():
    files = {file.stem.removeprefix("mysettings_"): file for file in (ROOT / "examples").glob("*/mysettings_*.py")}
    assert {"digits", "curve_fitting", "table", "text_classification"} <= set(NAMES) <= set(files)
    assert set(files) - set(NAMES) == {"semanticSegmentation_cityscapes"}  # whose data one must ask for
    for example in shipped_examples():
        text = files[example.name].read_text(encoding="utf-8")
        assert text.startswith(f'"""{example.summary}\n') and example.summary.endswith((".", "?"))


def test_without_the_data_of_the_clone_the_others_are_offered(monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "_data_folder", lambda: tmp_path / "nowhere")
    names = [example.name for example in shipped_examples()]
    assert {"digits", "curve_fitting", "text_classification"} <= set(names) and not {"table", "image_folder"} & set(names)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_loaded_from_its_new_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_first_steps("mine", like=name)
    monkeypatch.chdir("/")
    settings = load_settings(tmp_path / "mine" / "mysettings.py")
    assert (settings.session_name, settings.workingFolder) == ("mine", str(tmp_path / "mine" / "experiments"))
    text = (tmp_path / "mine" / "mysettings.py").read_text(encoding="utf-8")
    assert "mine/mysettings.py" in ast.get_docstring(ast.parse(text)) and "examples/" not in text and "../.." not in text
    assert re.search(r'"""\n\n', text) and (tmp_path / "mine" / "README.md").is_file()


def test_an_example_by_its_own_name_needs_no_like(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_first_steps("digits")
    assert sorted(file.name for file in (tmp_path / "digits").iterdir()) == ["README.md", "model.py", "mysettings.py"]
    model = (ROOT / "model_zoo" / "small_cnn_classifier.py").read_text(encoding="utf-8")
    assert (tmp_path / "digits" / "model.py").read_text(encoding="utf-8") == model


def test_modules_beside_an_example_come_along():
    example = next(example for example in shipped_examples() if example.name == "text_classification")
    assert set(example_files(example, name="mine")) == {"mysettings.py", "library_sentences.py", "sentence_classifier.py"}


def test_without_a_name_kinds_and_examples_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert experiments_manager.main(["--init"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  tabular +a CSV file of numbers", printed, re.MULTILINE)
    assert re.search(r"^  digits +Handwritten digits: 8 × 8 grey images", printed, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_what_it_wrote_and_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert experiments_manager.main(["--init", "mine", "--like", "curve_fitting"]) == 0
    printed = capsys.readouterr().out
    assert "written: mine/README.md, mine/model.py, mine/mysettings.py\n" in printed
    assert re.search(r"^next: .*experiments_manager.* --check --usersettings mine/mysettings\.py$", printed, re.MULTILINE)
