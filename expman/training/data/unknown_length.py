"""Watches a pass over data that do not tell their length: says how far it is, and ends one that looks endless."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from expman.errors import TrainingError

_LOGGER = logging.getLogger(__name__)
_SECONDS_BEFORE_NOTICE = 4.0
_MOST_BATCHES = 10_000_000
_MOST_SECONDS = 3600.0
_TIMES_THE_TRAINING = 10  # data to validate on are never that many times longer than those that were trained on


class _Watch:
    """One pass.

    Arguments:
        place: where the data are made.
        described_as: what they are, e.g. 'training data'.
        doing: what happens to them, e.g. 'being counted'.
        remedy: sentences that tell why, and what makes it end.
        seconds_before_notice: until the first word about it; the time doubles from one to the next.
    """

    def __init__(self, *, place: str, described_as: str, doing: str, remedy: str, seconds_before_notice: float) -> None:
        self._place, self._described_as, self._doing, self._remedy = place, described_as, doing, remedy
        self._start, self._seconds_before_notice = time.monotonic(), seconds_before_notice

    def look_at(self, num_batches: int, *, least_batches: int = 0) -> None:
        """Tells how many batches there were, ever more rarely.

        Arguments:
            num_batches: read so far.
            least_batches: so many must have been read before the time counts.

        Raises:
            TrainingError: they are 10 million, or an hour has passed.
        """
        seconds = time.monotonic() - self._start
        if num_batches >= _MOST_BATCHES or (seconds >= _MOST_SECONDS and num_batches >= least_batches):
            raise TrainingError(f"{self._place}: the {self._described_as} have not ended after {num_batches:,} batches and "
                                f"{seconds / 60:.0f} minutes of {self._doing}, so they seem to be endless. {self._remedy}")
        if seconds >= self._seconds_before_notice:
            self._seconds_before_notice *= 2
            _LOGGER.info("The batches of the %s are %s, %d so far. %s Ctrl-C ends this.", self._described_as, self._doing,
                         num_batches, self._remedy)


def told_while_counting(batches: Iterable[Any], *, place: str, described_as: str, remedy: str) -> Iterator[Any]:
    """Passes batches on, one by one, so that Ctrl-C is obeyed between two of them; tells ever more rarely how many there were.

    Arguments:
        batches: of a dataset that does not know its length.
        place, described_as: where they are made, and what they are, e.g. 'training data'.
        remedy: sentences that tell what needs the number, and what makes counting needless.

    Raises:
        TrainingError: they seem to be endless.
    """
    watch = _Watch(place=place, described_as=described_as, doing="being counted", remedy=remedy,
                   seconds_before_notice=_SECONDS_BEFORE_NOTICE)
    for count, batch in enumerate(batches, start=1):
        watch.look_at(count)
        yield batch


class EvaluationWatch(keras.callbacks.Callback):
    """Ends an evaluation on data that seem to be endless: after 10 million batches, or after an hour if it had read ten times as
    many batches by then as the training has made steps.

    Arguments:
        place, described_as: where the data are made, and what they are, e.g. 'validation data'.
        setting: what limits them, e.g. 'nb_val_samples'.
        num_trained_steps: tells the steps that the training has made.

    Raises:
        TrainingError: from within the evaluation.
    """

    def __init__(self, *, place: str, described_as: str, setting: str, num_trained_steps: Callable[[], int]) -> None:
        super().__init__()
        self._options = {"place": place, "described_as": described_as,
                         "remedy": f"They do not tell their number; set {setting} to say how many samples an evaluation has."}
        self._num_trained_steps = num_trained_steps

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins to watch an evaluation."""
        self._least_batches = _TIMES_THE_TRAINING * self._num_trained_steps()
        self._watch = _Watch(doing="being evaluated", seconds_before_notice=_MOST_SECONDS / 4, **self._options)

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Looks at how long the evaluation has been."""
        self._watch.look_at(batch + 1, least_batches=self._least_batches)
