"""The versions that the policy wants among those on disk are served, and the last ones never go by accident."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from expman.serving.models.model_config import ModelConfig
from expman.serving.models.version_policy import AllVersions, LatestVersions, SpecificVersions
from expman.serving.models.version_states import VersionState
from tests.support.serving_model_stores import Loader, answer_of, publish, remove, started_store, states, wait_for_state


def test_newest_version_is_served_by_number_not_by_text(tmp_path: Path) -> None:
    for number in (2, 9, 10):
        publish(tmp_path, number, f"answer {number}")
    with started_store(ModelConfig("m", tmp_path)) as store:
        assert answer_of(store) == (10, "answer 10")
        assert states(store) == {10: VersionState.AVAILABLE}
        assert store.available_versions() == {"m": [10]}


def test_version_0_is_a_version(tmp_path: Path) -> None:
    publish(tmp_path, 0, "zero")
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path, AllVersions())) as store:
        assert answer_of(store, version=0) == (0, "zero")


def test_leading_zeros_are_allowed_as_in_tensorflow_serving(tmp_path: Path) -> None:
    publish(tmp_path, 123, "answer").rename(tmp_path / "00000123")
    with started_store(ModelConfig("m", tmp_path)) as store:
        assert answer_of(store, version=123) == (123, "answer")


def test_latest_2_serves_two_versions_side_by_side(tmp_path: Path) -> None:
    load = Loader()
    for number in (1, 2, 3):
        publish(tmp_path, number, str(number))
    config = ModelConfig("m", tmp_path, LatestVersions(2))
    with started_store(config, load=load) as store:
        assert store.available_versions() == {"m": [2, 3]}
        assert answer_of(store, version=2) == (2, "2")
        publish(tmp_path, 4, "4")
        store.reload([config])
        assert store.available_versions() == {"m": [3, 4]}
        wait_for_state(store, 2, VersionState.END)
        assert states(store) == {4: VersionState.AVAILABLE, 3: VersionState.AVAILABLE, 2: VersionState.END}


def test_all_versions_are_served_and_one_that_is_removed_no_longer(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        publish(tmp_path, number, str(number))
    config = ModelConfig("m", tmp_path, AllVersions())
    with started_store(config) as store:
        assert store.available_versions() == {"m": [1, 2, 3]}
        remove(tmp_path, 2)
        store.reload([config])
        assert store.available_versions() == {"m": [1, 3]}


def test_specific_versions_are_served_and_a_missing_one_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2, 3):
        publish(tmp_path, number, str(number))
    with started_store(ModelConfig("m", tmp_path, SpecificVersions(frozenset({1, 2, 7})))) as store:
        for _ in range(3):
            store.look()
        assert store.available_versions() == {"m": [1, 2]}
        assert answer_of(store) == (2, "2")
    assert caplog.text.count("lacks versions of 'm' that are configured: [7]") == 1


def test_removing_the_newest_version_rolls_back(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2, "two")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        remove(tmp_path, 2)
        has_begun, may_end = load.hold(tmp_path / "1")
        store.look()
        assert has_begun.wait(60)
        assert answer_of(store) == (2, "two")  # until the one before it is loaded
        may_end.set()
        wait_for_state(store, 2, VersionState.END)
        assert answer_of(store) == (1, "one")


def test_version_that_comes_back_is_unloading_until_it_is_closed_again(tmp_path: Path) -> None:
    config = ModelConfig("m", tmp_path)
    publish(tmp_path, 1, "one")
    with started_store(config) as store, ExitStack() as first_request, ExitStack() as second_request:
        first = first_request.enter_context(store.acquire("m"))
        publish(tmp_path, 2, "two")
        store.reload([config])
        remove(tmp_path, 2)
        store.reload([config])
        wait_for_state(store, 2, VersionState.END)
        second = second_request.enter_context(store.acquire("m"))
        assert (second.number, second is first) == (1, False)
        publish(tmp_path, 3, "three")
        store.reload([config])
        wait_for_state(store, 1, VersionState.UNLOADING)
        first_request.close()
        _join_threads("unload-m-1")
        assert states(store)[1] == VersionState.UNLOADING
        second_request.close()
        wait_for_state(store, 1, VersionState.END)


@pytest.mark.parametrize("with_base_path", [False, True])
def test_last_versions_serve_on_when_all_folders_are_gone_which_is_told_once(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, with_base_path: bool) -> None:
    for number in (1, 2):
        publish(tmp_path / "m", number, str(number))
    with started_store(ModelConfig("m", tmp_path / "m", LatestVersions(2))) as store:
        (tmp_path / "m").rename(tmp_path / "elsewhere")
        if with_base_path:
            (tmp_path / "m").mkdir()
        for _ in range(3):
            store.look()
        assert store.available_versions() == {"m": [1, 2]}
        assert caplog.text.count("holds no version of 'm' to serve") == 1
        assert "serves on" in caplog.text
        (tmp_path / "elsewhere" / "2").rename(tmp_path / "elsewhere" / "3")
        if with_base_path:
            (tmp_path / "m").rmdir()
        (tmp_path / "elsewhere").rename(tmp_path / "m")
        store.reload([ModelConfig("m", tmp_path / "m", LatestVersions(2))])
        assert store.available_versions() == {"m": [1, 3]}


def test_base_path_that_is_a_file_is_told_once_and_what_is_loaded_serves_on(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path / "m", 1, "one")
    with started_store(ModelConfig("m", tmp_path / "m")) as store:
        (tmp_path / "m").rename(tmp_path / "elsewhere")
        (tmp_path / "m").write_text("")
        for _ in range(3):
            store.look()
        assert answer_of(store) == (1, "one")
    assert caplog.text.count("cannot be read (Not a directory)") == 1


def test_versions_that_come_faster_than_they_load_never_pile_up(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "1")
    gates = {number: load.hold(tmp_path / str(number)) for number in (2, 3, 4)}
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        for number in (2, 3, 4):
            publish(tmp_path, number, str(number))
            store.look()
            assert gates[2][0].wait(60)
        gates[2][1].set()
        wait_for_state(store, 2, VersionState.AVAILABLE)
        wait_for_state(store, 1, VersionState.END)  # 2 stands in for 4, which is wanted
        assert store.available_versions() == {"m": [2]}
        gates[4][1].set()
        wait_for_state(store, 2, VersionState.END)
        assert store.available_versions() == {"m": [4]}
        assert states(store)[3] == VersionState.END
    assert tmp_path / "3" not in load.tries  # it was superseded before its turn


def _join_threads(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()
