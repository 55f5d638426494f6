"""Names as strangers may have them never break the files that --init writes: they are told, or can be read by Python."""

from __future__ import annotations

import ast
import os

import numpy as np
import pytest

import experiments_manager
from expman.first_steps.first_steps import write_first_steps
from expman.first_steps.rendering import in_words, literal
from tests.support.first_data import picture, save

EVIL_NAMES = [
    "a\x01b", "a\x07\x1bb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b", "a\u202eb", "a\ufeffb",
    "a\u00a0b", "a\\", "a\\u0041", '"""', "'''", 'a"""', "{{ a }}", "{% if %}", "{# a #}", "# a", "a\rb", "a\nb", "a\tb",
    "$(a)", "%s", "😀", "a\U000e0001b"]


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def constants_of(folder) -> set[object]:
    """The constants of all Python files, each of which must be readable."""
    found = set()
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_bytes())
        compile(tree, str(file), "exec")
        found |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return found


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_evil_text_is_the_same_after_it_was_written_as_source_and_one_line_in_words(name):
    assert ast.literal_eval(literal(name)) == name
    assert compile(f'"""{in_words(name)} """\n# {in_words(name)}\n', "f", "exec") and in_words(name).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", EVIL_NAMES)
def test_columns_of_evil_names_give_files_that_python_reads(current_folder, name, encoding):
    quoted = '"' + name.replace('"', '""') + '"'
    rows = "".join(f"{row % 13 + row % 7 / 4},{['x', 'y', '1'][row % 3]},{row % 5 + 0.5}\n" for row in range(300))
    (current_folder / "t.csv").write_text(f"{quoted},b,c\n{rows}", encoding=encoding, newline="")
    series = [("timeseries", name)] if encoding == "utf-8" and not {"\n", "\r"} & set(name) else []  # others are told
    for number, (like, target) in enumerate([("tabular", name), ("tabular", "c"), *series]):
        folder = write_first_steps(f"e{number}", like=like, data="t.csv", target=target).folder
        assert (target if like == "tabular" else name) in constants_of(folder)


def test_a_zero_character_in_a_name_or_cell_of_a_16_bit_file_is_told(current_folder, capsys):
    for text in ("a\0b,y\n1,2\n2,3\n", "a,y\n1\0,2\n2,3\n"):
        (current_folder / "t.csv").write_text(text, encoding="utf-16")
        assert experiments_manager.main(["--init", "new", "--like", "tabular", "--data", "t.csv", "--target", "y"]) == 2
        assert "holds characters of the number 0 (U+0000)" in capsys.readouterr().err
    assert [file.name for file in current_folder.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("place", ["data", "class", "file"])
def test_bytes_that_are_no_text_in_a_path_are_told(current_folder, capsys, place):
    names = {"data": "photos", "class": "cats", "file": "p"}
    names[place] = os.fsdecode(b"caf\xe9")
    for class_name in (names["class"], "dogs"):
        for number in range(3):
            save(picture(2, 20, 20, seed=number), current_folder / "images.png")
            folder = current_folder / names["data"] / class_name
            folder.mkdir(parents=True, exist_ok=True)
            (current_folder / "images.png").rename(folder / f"{names['file']}{number}.png")
    before = sorted(current_folder.rglob("*"))
    assert experiments_manager.main(["--init", "new", "--like", "images", "--data", names["data"]]) == 2
    assert r"caf\xe9" in (message := capsys.readouterr().err) and "bytes that are no UTF-8" in message and "Rename" in message
    assert sorted(current_folder.rglob("*")) == before


def test_a_table_whose_path_is_no_text_is_told(current_folder, capsys):
    name = os.fsdecode(b"caf\xe9.csv")
    (current_folder / name).write_text("a,y\n1,2\n2,3\n")
    assert experiments_manager.main(["--init", "new", "--like", "tabular", "--data", name, "--target", "y"]) == 2
    assert r"caf\xe9.csv: the name holds bytes that are no UTF-8" in capsys.readouterr().err
    assert [file.name for file in current_folder.iterdir()] == [name]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_pixel_that_is_no_finite_number_is_told_with_its_file(current_folder, capsys, value):
    for class_name in "ab":
        for number in range(3):
            image = np.full((20, 20), number, np.float32)
            image[3, 4] = value if (class_name, number) == ("b", 1) else 1
            save(image, current_folder / "photos" / class_name / f"{number}.tif")
    assert experiments_manager.main(["--init", "new", "--like", "images", "--data", "photos"]) == 2
    message = capsys.readouterr().err
    assert "1 values of pixels in photos/b/1.tif are infinite or no number (NaN)" in message and "leave the file out" in message
    assert [file.name for file in current_folder.iterdir()] == ["photos"]
