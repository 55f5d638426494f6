"""What a sweep prints of its trials: a line each in a file, the best one so far, on a terminal a table that forgets none."""

from __future__ import annotations

import io
import re

import pytest

from expman.records.trial import Trial
from expman.sweeps.sweep_display import LiveTable, best_trial, sweep_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def trial(tmp_path):
    def made(number: int, status: str = "finished", **values: object) -> Trial:
        created = Trial.create(tmp_path, number=number, session_name="line", hparams={"rate": 0.1234567, "label": "a"}, point={})
        created.status = status
        for name, value in values.items():
            setattr(created, name, value)
        return created

    return made


def test_a_file_gets_a_line_a_trial_with_the_best_so_far_and_no_end_in_sight_after_the_last(trial):
    stream = io.StringIO()
    trials = [trial(1, value=0.5, seconds=2.04), trial(2, "running")]
    with sweep_display(metric="mae", mode="min", max_trials=2, num_epochs=3, stream=stream) as display:
        display.update(trials)
        display.ended(trials[0], trials)
        trials[1].status, trials[1].reason = "failed", "ValueError: mine"
        display.ended(trials[1], trials)
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"trial 1/2 finished: mae 0\.5  rate=0\.1235 label=a  2\.0s, best 0\.5 \(trial 1\), 0:00:0\d left", first)
    assert second == "trial 2/2 failed: (ValueError: mine)  rate=0.1235 label=a  0.0s, best 0.5 (trial 1)"


@pytest.mark.parametrize(("sign", "best"), [(1, 3), (-1, 1)])
def test_the_best_is_the_first_of_equals_and_none_that_failed(trial, sign, best):
    trials = [trial(1, value=2.0), trial(2, "failed", value=0.0 if sign == 1 else 9.0), trial(3, "pruned", value=1.0),
              trial(4, value=1.0), trial(5, "running", value=sign * -100.0), trial(6, "finished")]
    assert best_trial(trials, sign=sign).number == best
    assert best_trial(trials[1:2], sign=sign) is None


def test_a_terminal_gets_a_table_of_running_and_last_trials_and_the_best_however_old(trial):
    stream = Terminal()
    trials = [trial(1, value=0.01), *(trial(number, value=float(number)) for number in range(2, 12)), trial(12, "running")]
    with sweep_display(metric="mae", mode="min", max_trials=20, num_epochs=3, stream=stream) as display:
        assert isinstance(display, LiveTable)
        display.ended(trials[10], trials)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    rows = [int(row[1]) for row in re.finditer(r"^│\s*(\d+)\s*│", text, re.MULTILINE)]
    assert set(rows) == {1, *range(4, 13)} and "11 of 20 trials, best 0.01 (trial 1)" in re.sub(r"\s+", " ", text)


def test_a_failure_stays_in_the_history_of_a_terminal(trial):
    stream = Terminal()
    failed = trial(1, "failed", reason="[red]out of memory")
    with sweep_display(metric="mae", mode="min", max_trials=20, num_epochs=3, stream=stream) as display:
        display.ended(failed, [failed])
    assert "trial 1 failed: [red]out of memory" in stream.getvalue()
