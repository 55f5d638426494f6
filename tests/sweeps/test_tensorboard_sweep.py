"""TensorBoard's HParams tab over a sweep's folder, read off the page in a real browser."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import experiments_manager
from tests.support.browser import find_all, needs_browser, open_browser
from tests.support.sweep_files import read_trials, write_sweep
from tests.support.tensorboard_server import LONGEST_WAIT_SECONDS, tensorboard

NUM_TRIALS = 2
SHOWN_DIGITS = 1e-4  # the tab rounds to five digits

# The grid keeps its rows in a shadow root; each cell shows the element that is assigned to its slot.
READ_ROWS = """
const shown = cell => [...cell.querySelectorAll('slot')].flatMap(slot => slot.assignedNodes());
return [...arguments[0].shadowRoot.querySelectorAll('tr')].map(
    row => [...row.children].map(cell => shown(cell).map(node => node.textContent.trim()).join('')));
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A folder with a finished sweep in `sweep/`; each trial was best at its last evaluation, whose metrics the tab shows."""
    folder = tmp_path_factory.mktemp("swept")
    file = write_sweep(folder, ("max_trials = 4", f"max_trials = {NUM_TRIALS}"))
    assert experiments_manager.main(["--sweep", str(file)]) == 0
    return folder


@pytest.fixture
def page(swept, tmp_path) -> Iterator[Any]:
    """A browser with the tab of a TensorBoard on the sweep's folder."""
    with open_browser(tmp_path / "profile", width=1800) as browser, \
            tensorboard(swept / "sweep", tmp_path / "log.txt") as address:
        browser.get(f"{address}#hparams")
        yield browser


def shown_rows(browser: Any) -> list[dict[str, str]]:
    """The rows of the tab's table, heading → text, once it has one a trial and each shows its metrics."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    rows: list[dict[str, str]] = []
    while time.monotonic() < deadline:
        grids = find_all(browser, "vaadin-grid")
        texts = browser.execute_script(READ_ROWS, grids[0]) if grids else []
        headings = next((row for row in texts if "Trial ID" in row), [])
        rows = [dict(zip(headings, row)) for row in texts if row != headings and any(row)]
        if len(rows) == NUM_TRIALS and all(row.get("mae") for row in rows):
            return rows
        time.sleep(0.2)
    raise AssertionError(f"the table did not get complete: {rows}")


@needs_browser
@pytest.mark.slow
def test_the_hparams_tab_has_a_row_a_trial_with_its_hparams_and_metrics(swept, page):
    rows = {row["Trial ID"]: row for row in shown_rows(page)}
    trials = read_trials(swept)
    assert set(rows) == {trial["folder"].name for trial in trials}
    for trial in trials:
        row = rows[trial["folder"].name]
        for name, value in trial["hparams"].items():
            assert float(row[name]) == pytest.approx(value, rel=SHOWN_DIGITS), name
        assert (row["addNoise"], row["label"], float(row["slope"])) == ("false", "a", 2)  # not varied: shown all the same
        assert float(row["mae"]) == pytest.approx(trial["value"], rel=SHOWN_DIGITS)
        with open(trial["folder"] / "metrics.csv", newline="", encoding="utf-8") as stream:
            last = list(csv.DictReader(stream))[-1]
        assert {name: float(row[name]) for name in ("loss", "mae", "rmse")} == pytest.approx(
            {name: float(last[f"val_{name}"]) for name in ("loss", "mae", "rmse")}, rel=SHOWN_DIGITS)
    assert len({row["mae"] for row in rows.values()}) == NUM_TRIALS
