"""Where no line can be rewritten there is one line an epoch; on a terminal one line lives."""

from __future__ import annotations

import io
import re

import keras
import pytest

from expman.training.callbacks import console_progress
from expman.training.callbacks.console_progress import ConsoleProgress
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(stream, *, values, progress=None, steps_per_epoch=4, further=()):
    progress = progress or TrainingProgress()
    fit(*further, ConsoleProgress(progress=progress, num_epochs=len(values), steps_per_epoch=steps_per_epoch, stream=stream),
        progress=progress, num_epochs=len(values), values=values)
    return stream.getvalue()


def test_a_log_has_a_line_an_epoch_with_a_star_at_each_new_best():
    lines = printed(io.StringIO(), values=[3.0, 4.0, 1.5]).splitlines()
    assert re.fullmatch(r"epoch 1/3 \d+\.\ds loss \S+ val_loss 3 \*, \d+s left", lines[0])
    assert re.fullmatch(r"epoch 2/3 \d+\.\ds loss \S+ val_loss 4, \d+s left", lines[1])
    assert re.fullmatch(r"epoch 3/3 \d+\.\ds loss \S+ val_loss 1\.5 \*", lines[2])


def test_a_terminal_has_one_line_that_is_rewritten_and_never_wider_than_it(monkeypatch):
    monkeypatch.setattr(console_progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    text = printed(Terminal(), values=[3.0, 2.0])
    assert text.count("\n") == 1 and text.endswith("\n")
    parts = text.strip("\n").split("\r")[1:]
    assert len(parts) == 2 * 4 + 2 and all(len(part) == 39 for part in parts)
    assert parts[0].startswith("epoch 1/2 step 1/4 loss ")


def test_an_epoch_of_unknown_length_shows_its_steps_in_a_log_too(monkeypatch):
    monkeypatch.setattr(console_progress, "_SECONDS_BETWEEN_LINES", 0.0)
    lines = printed(io.StringIO(), values=[3.0], steps_per_epoch=None).splitlines()
    assert [line.split(" loss")[0] for line in lines[:4]] == [f"epoch 1/1 step {n} of an unknown number," for n in (1, 2, 3, 4)]


def test_evaluations_within_an_epoch_have_lines_of_their_own():
    progress = TrainingProgress()

    def evaluate(batch, logs):
        progress.evaluated, progress.improved, progress.last_metrics = batch == 1, batch == 1, {"loss": 7.0}

    stream = io.StringIO()
    fit(keras.callbacks.LambdaCallback(on_train_batch_end=evaluate),
        ConsoleProgress(progress=progress, num_epochs=1, steps_per_epoch=4, stream=stream), progress=progress, num_epochs=1)
    assert stream.getvalue().splitlines()[0] == "epoch 1/1 step 2 loss 0.5 val_loss 7 *"


def test_the_time_that_the_start_takes_is_not_multiplied(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(console_progress.time, "monotonic", lambda: clock[0])

    def advance(batch, logs):
        clock[0] += 100 if clock[0] == 0 else 1  # the first step builds the graph

    lines = printed(io.StringIO(), values=[1.0] * 10, further=[keras.callbacks.LambdaCallback(on_train_batch_begin=advance)]
                    ).splitlines()
    assert lines[0].endswith(", 36s left") and lines[8].endswith(", 4s left")


def test_the_time_left_counts_from_a_restart(monkeypatch):
    line, = printed(io.StringIO(), values=[1.0] * 4, progress=TrainingProgress(epoch=3)).splitlines()
    assert line.startswith("epoch 4/4 ") and "left" not in line


@pytest.mark.parametrize(("seconds", "expected"), [(0.4, "0s"), (59.6, "1m00s"), (61, "1m01s"), (3600, "1h00m"), (90061, "25h01m")])
def test_durations_are_short(seconds, expected):
    assert console_progress._duration(seconds) == expected
