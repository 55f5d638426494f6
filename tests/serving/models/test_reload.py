"""A new configuration adds, changes and removes models and moves labels, without a request that fails in between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from expman.serving.models.model_config import ModelConfig
from expman.serving.models.version_policy import AllVersions, SpecificVersions
from expman.serving.models.version_states import VersionState
from expman.wire.status import Code, StatusError
from tests.support.serving_model_stores import Loader, answer_of, publish, started_store, states, wait_for_state


def specific(*versions: int) -> SpecificVersions:
    return SpecificVersions(frozenset(versions))


def test_model_that_is_added_serves_when_the_reload_returns(tmp_path: Path) -> None:
    publish(tmp_path / "a", 1, "a one")
    publish(tmp_path / "b", 1, "b one")
    with started_store(ModelConfig("a", tmp_path / "a")) as store:
        store.reload([ModelConfig("a", tmp_path / "a"), ModelConfig("b", tmp_path / "b")])
        assert answer_of(store, "a") == (1, "a one")
        assert answer_of(store, "b") == (1, "b one")


def test_model_that_is_removed_is_not_found_but_its_running_request_is_answered(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "a", 1, "a one")
    publish(tmp_path / "b", 1, "b one")
    with started_store(ModelConfig("a", tmp_path / "a"), ModelConfig("b", tmp_path / "b"), load=load) as store:
        with store.acquire("a") as served:
            store.reload([ModelConfig("b", tmp_path / "b")])
            with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(a\)"):
                store.acquire("a")
            with pytest.raises(StatusError, match="Could not find any versions of model a"):
                store.statuses("a")
            assert served.predictor.run() == ["a one"]
            assert not served.predictor.closed.is_set()
        assert served.predictor.closed.wait(60)
        assert [predictor.answer for predictor in load.open_predictors()] == ["b one"]


def test_idle_model_that_is_removed_has_given_its_memory_back_when_the_reload_returns(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        store.reload([])
        assert load.open_predictors() == []
        assert store.available_versions() == {}


def test_model_that_comes_back_serves_again(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path)) as store:
        with store.acquire("m") as held:
            store.reload([])
            store.reload([ModelConfig("m", tmp_path)])
            assert answer_of(store) == (1, "one")
            assert held.predictor.run() == ["one"]
        assert held.predictor.closed.wait(60)
        assert answer_of(store) == (1, "one")


def test_reload_of_the_same_configuration_loads_nothing_again(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        store.reload([ModelConfig("m", tmp_path)])
    assert load.tries == {tmp_path / "1": 1}


def test_models_without_a_loadable_version_are_named_and_the_others_serve(tmp_path: Path) -> None:
    publish(tmp_path / "a", 1, "a one")
    publish(tmp_path / "b", 1, "b one")
    publish(tmp_path / "broken", 1)
    with started_store(ModelConfig("a", tmp_path / "a")) as store:
        with pytest.raises(StatusError) as caught:
            store.reload([ModelConfig(name, tmp_path / name) for name in ("broken", "b", "missing")])
        assert caught.value.code is Code.UNKNOWN
        assert "2 model(s) did not become available: {broken: no version" in caught.value.message
        assert f"{{missing: '{tmp_path / 'missing'}' holds no version" in caught.value.message
        assert answer_of(store, "b") == (1, "b one")
        assert store.available_versions() == {"broken": [], "b": [1], "missing": []}
        (tmp_path / "broken" / "1" / "answer.txt").write_text("mended", encoding="utf-8")
        store.look()
        wait_for_state(store, 1, VersionState.AVAILABLE, name="broken")
        assert answer_of(store, "broken") == (1, "mended")


def test_second_reload_does_not_wait_behind_one_that_loads(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "a", 1, "a one")
    publish(tmp_path / "slow", 1, "slow one")
    publish(tmp_path / "b", 1, "b one")
    has_begun, may_end = load.hold(tmp_path / "slow" / "1")
    with started_store(ModelConfig("a", tmp_path / "a"), load=load, num_load_threads=2) as store:
        first = threading.Thread(target=store.reload, args=([ModelConfig("slow", tmp_path / "slow")],))
        first.start()
        assert has_begun.wait(60)
        store.reload([ModelConfig("b", tmp_path / "b")])
        assert store.available_versions() == {"b": [1]}
        first.join(60)
        assert not first.is_alive()  # its model is not wanted any more
        may_end.set()
    assert load.open_predictors() == []


def test_two_models_of_one_name_are_refused_before_anything_changes(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path)) as store:
        with pytest.raises(ValueError, match="name of its own"):
            store.reload([ModelConfig("x", tmp_path), ModelConfig("x", tmp_path)])
        assert store.available_versions() == {"m": [1]}


def test_policy_change_loads_the_newly_wanted_version_before_the_old_one_goes(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2, "two")
    with started_store(ModelConfig("m", tmp_path, specific(1)), load=load) as store:
        has_begun, may_end = load.hold(tmp_path / "2")
        reload = threading.Thread(target=store.reload, args=([ModelConfig("m", tmp_path, specific(2))],))
        reload.start()
        assert has_begun.wait(60)
        assert answer_of(store) == (1, "one")
        may_end.set()
        reload.join(60)
        assert answer_of(store) == (2, "two")
        wait_for_state(store, 1, VersionState.END)


def test_base_path_change_replaces_the_version_of_the_same_number(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "old", 1, "old one")
    publish(tmp_path / "new", 1, "new one")
    with started_store(ModelConfig("m", tmp_path / "old"), load=load) as store:
        has_begun, may_end = load.hold(tmp_path / "new" / "1")
        reload = threading.Thread(target=store.reload, args=([ModelConfig("m", tmp_path / "new")],))
        reload.start()
        assert has_begun.wait(60)
        assert answer_of(store) == (1, "old one")
        assert states(store) == {1: VersionState.AVAILABLE}
        may_end.set()
        reload.join(60)
        assert answer_of(store) == (1, "new one")
        assert load.predictors[0].closed.wait(60)
        assert states(store) == {1: VersionState.AVAILABLE}


def test_version_that_was_loading_from_the_base_path_before_never_serves(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "old", 1, "old one")
    for number in (2, 3):
        publish(tmp_path / "new", number, f"new {number}")
    with started_store(ModelConfig("m", tmp_path / "old"), load=load, num_load_threads=2) as store:
        old_has_begun, old_may_end = load.hold(tmp_path / "old" / "2")
        new_has_begun, new_may_end = load.hold(tmp_path / "new" / "2")
        publish(tmp_path / "old", 2, "old 2")
        store.look()
        assert old_has_begun.wait(60)
        reload = threading.Thread(target=store.reload, args=([ModelConfig("m", tmp_path / "new", AllVersions())],))
        reload.start()
        wait_for_state(store, 3, VersionState.AVAILABLE)
        old_may_end.set()
        assert new_has_begun.wait(60)
        with pytest.raises(StatusError, match=r"Specific\(m, 2\)"):
            store.acquire("m", version=2)
        new_may_end.set()
        reload.join(60)
        assert answer_of(store, version=2) == (2, "new 2")
    assert load.open_predictors() == []


def test_failure_at_the_base_path_before_does_not_count_at_the_new_one(tmp_path: Path) -> None:
    publish(tmp_path / "old", 1, "old one")
    publish(tmp_path / "old", 2)
    publish(tmp_path / "new", 2, "new two")
    with started_store(ModelConfig("m", tmp_path / "old")) as store:
        store.reload([ModelConfig("m", tmp_path / "new")])
        assert answer_of(store) == (2, "new two")


def test_load_that_fails_at_the_base_path_before_does_not_count_at_the_new_one(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "old", 1, "old one")
    for number in (2, 3):
        publish(tmp_path / "new", number, f"new {number}")
    with started_store(ModelConfig("m", tmp_path / "old"), load=load, num_load_threads=2) as store:
        has_begun, may_end = load.hold(tmp_path / "old" / "2")
        publish(tmp_path / "old", 2)
        store.look()
        assert has_begun.wait(60)
        reload = threading.Thread(target=store.reload, args=([ModelConfig("m", tmp_path / "new", AllVersions())],))
        reload.start()
        wait_for_state(store, 3, VersionState.AVAILABLE)
        may_end.set()
        reload.join(60)
        assert answer_of(store, version=2) == (2, "new 2")


def test_change_of_base_path_and_policy_loads_nothing_from_the_base_path_before(tmp_path: Path) -> None:
    load = Loader()
    for name in ("old", "new"):
        for number in (1, 2):
            publish(tmp_path / name, number, f"{name} {number}")
    with started_store(ModelConfig("m", tmp_path / "old", specific(1)), load=load) as store:
        store.reload([ModelConfig("m", tmp_path / "new", specific(2))])
        assert answer_of(store) == (2, "new 2")
    assert load.tries == {tmp_path / "old" / "1": 1, tmp_path / "new" / "2": 1}


def test_label_answers_with_its_version(tmp_path: Path) -> None:
    for number in (1, 2):
        publish(tmp_path, number, str(number))
    with started_store(ModelConfig("m", tmp_path, AllVersions(), {"stable": 1, "canary": 2})) as store:
        assert answer_of(store, label="stable") == (1, "1")
        assert answer_of(store, label="canary") == (2, "2")
        assert [status.version for status in store.statuses("m", label="stable")] == [1]


def test_label_of_a_version_that_is_not_there_yet_is_assigned_as_soon_as_it_is(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    config = ModelConfig("m", tmp_path, AllVersions(), {"canary": 2})
    with started_store(config, load=load) as store:
        with pytest.raises(StatusError, match=r"Servable not found for request: Specific\(m, 2\)") as caught:
            store.acquire("m", label="canary")
        assert caught.value.code is Code.NOT_FOUND
        has_begun, may_end = load.hold(tmp_path / "2")
        publish(tmp_path, 2, "two")
        store.look()
        assert has_begun.wait(60)
        assert [status.state for status in store.statuses("m", label="canary")] == [VersionState.LOADING]
        may_end.set()
        wait_for_state(store, 2, VersionState.AVAILABLE)
        assert answer_of(store, label="canary") == (2, "two")


def test_label_moves_only_when_its_new_version_serves(tmp_path: Path) -> None:
    load = Loader()
    for number in (1, 2):
        publish(tmp_path, number, str(number))
    with started_store(ModelConfig("m", tmp_path, specific(1), {"stable": 1}), load=load) as store:
        has_begun, may_end = load.hold(tmp_path / "2")
        reload = threading.Thread(target=store.reload, args=([ModelConfig("m", tmp_path, specific(2), {"stable": 2})],))
        reload.start()
        assert has_begun.wait(60)
        assert answer_of(store, label="stable") == (1, "1")
        may_end.set()
        reload.join(60)
        assert answer_of(store, label="stable") == (2, "2")


def test_label_whose_new_version_cannot_be_loaded_stays_where_it_is(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2)
    with started_store(ModelConfig("m", tmp_path, specific(1), {"stable": 1})) as store:
        store.reload([ModelConfig("m", tmp_path, specific(1, 2), {"stable": 2})])
        assert answer_of(store, label="stable") == (1, "one")


def test_label_that_is_taken_out_is_unrecognized(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path, labels={"stable": 1})) as store:
        store.reload([ModelConfig("m", tmp_path)])
        with pytest.raises(StatusError, match="Unrecognized servable version label: stable"):
            store.acquire("m", label="stable")


def test_label_of_a_version_that_has_gone_is_not_found(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    config = ModelConfig("m", tmp_path, labels={"stable": 1})
    with started_store(config) as store:
        publish(tmp_path, 2, "two")
        store.reload([config])
        with pytest.raises(StatusError, match=r"Servable not found for request: Specific\(m, 1\)"):
            store.acquire("m", label="stable")
