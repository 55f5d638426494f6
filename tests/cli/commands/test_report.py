"""`--report` writes the page where it is asked for, else into the folder, and prints where it is."""

from __future__ import annotations

import pytest

import experiments_manager
from tests.support.experiment_files import write_experiment_files


@pytest.mark.parametrize("output", [None, "page.html"])
def test_the_page_is_where_the_last_line_says(tmp_path, capsys, output):
    folder = write_experiment_files(tmp_path)
    flags = ["--output", str(tmp_path / output)] if output else []
    assert experiments_manager.main(["--report", str(folder), *flags]) == 0
    page = tmp_path / output if output else folder / "report.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {page}"
    assert "<html" in page.read_text(encoding="utf-8")
