"""A signal ends a training after the running step; a second one ends the process as usual; handlers are given back."""

from __future__ import annotations

import os
import signal
import threading

import keras
import pytest

from expman.errors import TrainingStoppedError
from expman.training.callbacks.stop_on_signal import StopOnSignal
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def sends(number, *, at_batch=1):
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: batch == at_batch and os.kill(os.getpid(), number))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_training_ends_after_the_running_step_and_names_the_signal(number, handlers):
    progress, callback = TrainingProgress(), StopOnSignal()
    with pytest.raises(TrainingStoppedError, match=number.name) as error:
        fit(sends(number), callback, progress=progress)
    assert progress.step == 2 and error.value.exit_code == 128 + number
    callback.restore_handlers()
    assert {each: signal.getsignal(each) for each in handlers} == handlers


def test_after_the_first_signal_a_second_one_does_what_it_always_did(request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    progress = TrainingProgress()
    twice = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: [os.kill(os.getpid(), 2) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt):
        fit(twice, StopOnSignal(), progress=progress)


def test_a_training_that_ends_gives_the_handlers_back(handlers):
    seen = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(signal.getsignal(signal.SIGTERM)))
    progress = TrainingProgress()
    fit(note, StopOnSignal(), progress=progress)
    assert handlers[signal.SIGTERM] not in seen and signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]


def test_all_workers_stop_for_a_signal_that_one_of_them_received():
    progress, asked = TrainingProgress(), []

    def agree(received):
        asked.append(received)
        return signal.SIGTERM if len(asked) == 3 else received

    with pytest.raises(TrainingStoppedError, match="SIGTERM"):
        fit(StopOnSignal(agree=agree), progress=progress)
    assert asked == [None] * 3 and progress.step == 3


def test_in_a_thread_that_may_not_have_handlers_it_trains_all_the_same():
    progress, errors = TrainingProgress(), []

    def train():
        try:
            fit(StopOnSignal(), progress=progress, num_epochs=1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not errors and progress.epoch == 1
