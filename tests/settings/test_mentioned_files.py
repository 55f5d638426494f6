"""What a class mentions in its text is found without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from expman.settings.mentioned_files import mentioned_files

SOURCE = '''
import json
from pathlib import Path
HERE = Path(__file__).parent
LABELS = HERE / "labels.txt"
OTHER = "other.txt"


def palette():
    return json.load(open(HERE / "assets" / "palette.json"))


def get_input_pipeline_train_val():
    return "data.csv"


class Client_IO:
    def __init__(self):
        self.labels, self.palette = LABELS.read_text(), palette()
        self.data = get_input_pipeline_train_val()
        self.large = "large.bin"
        self.outside = "../outside.txt"
        self.text = "no file \\0, " + "x" * 9000

    def finalize(self):
        open("assets/end.txt")
'''


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "project"
    (folder / "assets").mkdir(parents=True)
    for name in ("labels.txt", "other.txt", "data.csv", "assets/palette.json", "assets/end.txt", "../outside.txt"):
        (folder / name).write_text("")
    with open(folder / "large.bin", "wb") as file:
        file.truncate(10 * 2**20 + 1)
    (folder / "mysettings.py").write_text(SOURCE)
    return folder / "mysettings.py"


def test_files_of_a_class_and_of_what_it_uses_are_found_within_bounds(source, caplog):
    found = mentioned_files(source, "Client_IO", except_in=["get_input_pipeline_train_val"])
    assert {str(path.relative_to(source.parent)) for path in found} == {"labels.txt", "assets/palette.json", "assets/end.txt"}
    assert "large.bin, which Client_IO mentions, is large" in caplog.text


def test_a_name_that_the_file_does_not_define_mentions_nothing(source):
    assert mentioned_files(source, "Client", except_in=[]) == []
