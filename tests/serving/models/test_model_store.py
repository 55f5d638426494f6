"""Requests get the version that they ask for, keep it while they run, and wait for no load."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore
from expman.serving.models.version_states import VersionState
from expman.wire.status import Code, StatusError
from tests.support.serving_model_stores import Loader, answer_of, publish, started_store, states, wait_for_state


def test_version_can_be_asked_for_by_its_number(tmp_path: Path) -> None:
    publish(tmp_path, 3, "three")
    with started_store(ModelConfig("m", tmp_path)) as store:
        assert answer_of(store, version=3) == (3, "three")


@pytest.mark.parametrize(("name", "wanted", "code", "message"), [
    ("other", {}, Code.NOT_FOUND, "Servable not found for request: Latest(other)"),
    ("other", {"version": 7}, Code.NOT_FOUND, "Servable not found for request: Specific(other, 7)"),
    ("other", {"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
    ("m", {"version": 7}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 7)"),
    ("m", {"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
])
def test_request_for_what_is_not_served_is_refused_in_the_words_of_tensorflow_serving(
        tmp_path: Path, name: str, wanted: dict, code: Code, message: str) -> None:
    publish(tmp_path, 3, "three")
    with started_store(ModelConfig("m", tmp_path)) as store, pytest.raises(StatusError) as caught, store.acquire(name, **wanted):
        pass
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(("name", "wanted", "code", "message"), [
    ("other", {}, Code.NOT_FOUND, "Could not find any versions of model other"),
    ("m", {"version": 7}, Code.NOT_FOUND, "Could not find version 7 of model m"),
    ("m", {"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
])
def test_status_of_what_was_never_seen_is_not_found(
        tmp_path: Path, name: str, wanted: dict, code: Code, message: str) -> None:
    publish(tmp_path, 3, "three")
    with started_store(ModelConfig("m", tmp_path)) as store, pytest.raises(StatusError) as caught:
        store.statuses(name, **wanted)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_running_request_keeps_its_version_until_it_leaves(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path)) as store:
        with store.acquire("m") as first, store.acquire("m") as second:
            publish(tmp_path, 2, "two")
            store.reload([ModelConfig("m", tmp_path)])
            assert answer_of(store) == (2, "two")
            assert first.predictor.run() == second.predictor.run() == ["one"]
            assert states(store) == {2: VersionState.AVAILABLE, 1: VersionState.UNLOADING}
        assert first.predictor.closed.wait(60)
        wait_for_state(store, 1, VersionState.END)


def test_old_version_answers_while_the_new_one_loads(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    has_begun, may_end = load.hold(tmp_path / "2")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        publish(tmp_path, 2, "two")
        store.look()
        assert has_begun.wait(60)
        assert answer_of(store) == (1, "one")
        assert states(store) == {2: VersionState.LOADING, 1: VersionState.AVAILABLE}
        may_end.set()
        wait_for_state(store, 2, VersionState.AVAILABLE)
        assert answer_of(store) == (2, "two")


def test_watcher_finds_new_versions_of_one_model_while_a_large_one_of_another_loads(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "small", 1, "one")
    publish(tmp_path / "large", 1, "one")
    models = [ModelConfig("large", tmp_path / "large"), ModelConfig("small", tmp_path / "small")]
    with started_store(*models, load=load, poll_seconds=0.005, num_load_threads=2) as store:
        has_begun, may_end = load.hold(tmp_path / "large" / "2")
        publish(tmp_path / "large", 2, "two")
        assert has_begun.wait(60)
        publish(tmp_path / "small", 2, "two")
        wait_for_state(store, 2, VersionState.AVAILABLE, name="small")
        assert states(store, "large")[2] == VersionState.LOADING
        may_end.set()


def test_watcher_finds_new_versions_while_the_only_load_thread_is_busy(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "small", 1, "one")
    publish(tmp_path / "large", 1, "one")
    models = [ModelConfig("large", tmp_path / "large"), ModelConfig("small", tmp_path / "small")]
    with started_store(*models, load=load, poll_seconds=0.005, num_load_threads=1) as store:
        has_begun, may_end = load.hold(tmp_path / "large" / "2")
        publish(tmp_path / "large", 2, "two")
        assert has_begun.wait(60)
        publish(tmp_path / "small", 2, "two")
        wait_for_state(store, 2, VersionState.START, name="small")
        may_end.set()
        wait_for_state(store, 2, VersionState.AVAILABLE, name="small")


def test_closing_waits_for_no_request_but_the_last_one_gives_the_memory_back(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path)) as store:
        with store.acquire("m") as served:
            store.close()
            assert served.predictor.run() == ["one"]
            assert not served.predictor.closed.is_set()
        assert served.predictor.closed.wait(60)
        with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)"):
            store.acquire("m")
        with pytest.raises(StatusError, match="stopping"):
            store.reload([ModelConfig("m", tmp_path)])


def test_closing_awaits_a_load_that_runs_and_closes_its_model(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        has_begun, may_end = load.hold(tmp_path / "2")
        publish(tmp_path, 2, "two")
        store.look()
        assert has_begun.wait(60)
        closing = threading.Thread(target=store.close)
        closing.start()
        closing.join(0.05)
        assert closing.is_alive()
        may_end.set()
        closing.join(60)
        assert not closing.is_alive()
    assert [predictor.answer for predictor in load.predictors] == ["one", "two"]
    assert load.open_predictors() == []


@pytest.mark.parametrize("option", [{"poll_seconds": -1}, {"num_load_threads": 0}, {"max_num_load_retries": -1},
                                    {"load_retry_interval_seconds": -0.5}])
def test_option_out_of_range_is_an_error_with_its_name_and_value(option: dict) -> None:
    (name, value), = option.items()
    with pytest.raises(ValueError, match=f"{name} must be . or more. Got {value}"):
        ModelStore(load=Loader(), **option)
