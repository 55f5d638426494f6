"""A user sees the lines of his own files, and none of the machinery's or of an installed package."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from expman.settings.user_traceback import is_user_file, last_user_line, user_traceback
from tests.support.project import ROOT


@pytest.fixture
def raised(tmp_path) -> ValueError:
    """An error that a user's function raised within a package that he called."""
    file = tmp_path / "mine.py"
    file.write_text("import json\n\n\ndef convert(value):\n    raise ValueError('mine')\n\n\n"
                    "def call():\n    json.dumps(object(), default=convert)\n")
    with pytest.raises(ValueError, match="mine") as told:
        runpy.run_path(str(file))["call"]()
    return told.value


def test_the_traceback_has_the_users_frames_alone(raised, tmp_path):
    text = user_traceback(raised)
    frames = [line for line in text.splitlines() if line.strip().startswith("File ")]
    of_user = [f'  File "{tmp_path}/mine.py", line {line}, in {name}' for line, name in ((9, "call"), (5, "convert"))]
    assert frames[-2:] == of_user and all(str(Path(__file__)) in frame for frame in frames[:-2])
    assert text.endswith("ValueError: mine") and "json/__init__" not in text
    assert last_user_line(raised) == f"{tmp_path}/mine.py:5"


def test_the_cause_is_left_out(tmp_path):
    try:
        try:
            raise KeyError("of the machinery")
        except KeyError as cause:
            raise ValueError("for the user") from cause
    except ValueError as error:
        assert "machinery" not in user_traceback(error)


@pytest.mark.parametrize("file", [json.__file__, np.__file__, str(ROOT / "expman" / "errors.py"), "<string>",
                                  str(ROOT / "data_pipelines" / "clutter.py"), "/nowhere/mine.py",
                                  "/tmp/__autograph_generated_filexyz.py"])
def test_what_is_of_python_of_a_package_or_of_the_project_is_not_the_users(file):
    assert not is_user_file(file)


def test_a_model_of_the_zoo_counts_as_the_users():
    assert is_user_file(str(ROOT / "model_zoo" / "mlp.py"))


def test_an_error_that_met_no_file_of_a_user_has_no_line():
    assert last_user_line(ValueError("never raised")) is None
