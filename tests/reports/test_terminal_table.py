"""Tables fit the terminal by leaving out columns, which are named; a file gets everything."""

from __future__ import annotations

import pytest

from expman.reports import terminal_table
from expman.reports.terminal_table import TableColumn, print_table

COLUMNS = [TableColumn("name", ["a", "日本"]), TableColumn("status", ["failed", "finished"], is_status=True),
           TableColumn("loss", ["0.5", "10"], is_numeric=True), TableColumn("rate", ["0.1", "0.2"], is_numeric=True),
           TableColumn("label", ["[x]", ""])]


def printed(capsys, columns, *, footer=()) -> list[str]:
    print_table(columns, footer=footer)
    return capsys.readouterr().out.splitlines()


def test_a_file_gets_all_columns_aligned_by_what_each_character_takes(capsys):
    assert printed(capsys, COLUMNS, footer=["2 experiments [bold]"]) == [
        "name  status    loss  rate  label", "─────────────────────────────────",
        "a     failed     0.5   0.1  [x]", "日本  finished    10   0.2", "", "2 experiments [bold]"]


@pytest.mark.parametrize(("width", "heads", "left_out"), [
    (33, "name  status    loss  rate  label", None), (32, "name  status    loss  rate", "label"),
    (25, "name  status    loss", "rate, label"), (3, "name  status    loss", "rate, label")])
def test_a_terminal_gets_what_fits_and_the_names_of_the_rest(capsys, monkeypatch, width, heads, left_out):
    class NarrowConsole(terminal_table.Console):
        def __init__(self, **options: object) -> None:
            super().__init__(**{**options, "width": width})

    monkeypatch.setattr(terminal_table, "Console", NarrowConsole)
    lines = printed(capsys, COLUMNS)
    assert lines[0] == heads
    assert lines[5:] == ([f"left out for lack of room: {left_out} (--columns chooses)"] if left_out else [])


def test_a_table_without_rows_is_its_footer(capsys):
    assert printed(capsys, [TableColumn("name", [])], footer=["0 experiments"]) == ["0 experiments"]
