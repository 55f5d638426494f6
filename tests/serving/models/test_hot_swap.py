"""Versions are swapped under load: no request fails, none gets a closed model, each model is closed exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore
from expman.serving.models.version_policy import LatestVersions
from expman.serving.models.version_states import VersionState
from tests.support.serving_model_stores import Loader, answer_of, publish, started_store, wait_for_state
from tests.support.serving_models import save_affine_model

_NUM_VERSIONS = 31  # 30 swaps


def test_30_swaps_under_load_fail_no_request_and_close_each_model_once(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "1")
    with started_store(ModelConfig("m", tmp_path), load=load, poll_seconds=0.001) as store:

        def ask() -> int:
            with store.acquire("m") as served:
                time.sleep(0)  # Lets another thread in: a swap, at best.
                assert served.predictor.run() == [str(served.number)]
                return served.number

        with _asking(ask, num_threads=4) as seen:
            for number in range(2, _NUM_VERSIONS + 1):
                publish(tmp_path, number, str(number))
                _wait_until_seen(seen, number)
        for number in range(1, _NUM_VERSIONS):
            wait_for_state(store, number, VersionState.END)
        assert [predictor.answer for predictor in load.open_predictors()] == [str(_NUM_VERSIONS)]
    assert seen == set(range(1, _NUM_VERSIONS + 1))
    assert [predictor.answer for predictor in load.predictors] == [str(number) for number in range(1, _NUM_VERSIONS + 1)]
    assert load.open_predictors() == []


def test_reloads_that_move_a_label_under_load_fail_no_request(tmp_path: Path) -> None:
    load = Loader()
    for number in (1, 2):
        publish(tmp_path, number, str(number))
    configs = [ModelConfig("m", tmp_path, LatestVersions(2), {"stable": number}) for number in (1, 2)]
    with started_store(configs[0], load=load) as store, _asking(lambda: answer_of(store, label="stable")[0], num_threads=3) as seen:
        for swap in range(20):
            store.reload([configs[1 - swap % 2]])
            assert answer_of(store, label="stable") == (2 - swap % 2, str(2 - swap % 2))
        _wait_until_seen(seen, 1)
    assert len(load.predictors) == 2


def test_saved_models_are_swapped_under_load_and_no_answer_mixes_versions(tmp_path: Path) -> None:
    versions = range(1, 6)
    hidden, base_path = tmp_path / "being_written", tmp_path / "m"
    base_path.mkdir()
    for number in versions:
        save_affine_model(hidden / str(number), slope=float(number))
    (hidden / "1").rename(base_path / "1")
    x = np.array([[1, 2], [3, 4]], np.float32)
    store = ModelStore(load=lambda folder, _: SavedModelPredictor(folder), poll_seconds=0.01)
    store.start([ModelConfig("m", base_path)])

    def ask() -> int:
        with store.acquire("m") as served:
            signature = served.predictor.signatures["serving_default"]
            y, z = served.predictor.run({signature.inputs["x"].name: x},
                                        [signature.outputs["y"].name, signature.outputs["z"].name])
            np.testing.assert_array_equal(y, served.number * x)
            np.testing.assert_array_equal(z, -served.number * x)
            return served.number

    try:
        with _asking(ask, num_threads=2) as seen:
            for number in versions[1:]:
                (hidden / str(number)).rename(base_path / str(number))
                _wait_until_seen(seen, number)
        for number in versions[:-1]:
            wait_for_state(store, number, VersionState.END)
    finally:
        store.close()


@contextmanager
def _asking(ask: Callable[[], int], *, num_threads: int) -> Iterator[set[int]]:
    """Asks without a pause from several threads while the block runs; yields the versions that have answered.

    Raises:
        Exception: the first that a request has raised.
    """
    seen: set[int] = set()
    faults: list[Exception] = []
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            try:
                seen.add(ask())
            except Exception as error:
                faults.append(error)
                seen.update(range(100))  # Whoever waits for a version shall not wait for ever.
                return
            time.sleep(0)  # A thread that never waits would keep the interpreter from the others.

    threads = [threading.Thread(target=run) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]


def _wait_until_seen(seen: set[int], number: int) -> None:
    while number not in seen:
        time.sleep(0.001)
