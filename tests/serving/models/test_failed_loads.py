"""A version that cannot be loaded takes nothing down, says why, and is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from expman.errors import ServingError
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore
from expman.serving.models.version_policy import SpecificVersions
from expman.serving.models.version_states import VersionState
from expman.wire.status import Code, StatusError
from tests.support.serving_model_stores import FilePredictor, Loader, answer_of, publish, started_store, states, wait_for_state


def test_version_that_cannot_be_loaded_leaves_the_last_good_one_serving(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path)) as store:
        publish(tmp_path, 2)
        store.reload([ModelConfig("m", tmp_path)])
        assert answer_of(store) == (1, "one")
        status, = store.statuses("m", version=2)
    assert status.state is VersionState.END
    assert status.error_code is Code.UNKNOWN
    assert "answer.txt" in status.error
    assert f"version 2 of 'm' cannot be loaded from {tmp_path / '2'}" in caplog.text


def test_code_and_words_of_a_failed_load_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def load(folder: Path, _: ModelConfig) -> FilePredictor:
        if folder.name == "2":
            raise StatusError(Code.DATA_LOSS, "the checkpoint is torn")
        return FilePredictor(folder)

    publish(tmp_path, 1, "one")
    publish(tmp_path, 2, "two")
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        status, = store.statuses("m", version=2)
    assert (status.state, status.error_code, status.error) == (VersionState.END, Code.DATA_LOSS, "the checkpoint is torn")
    assert "Traceback" not in caplog.text


def test_failed_version_is_tried_again_when_its_folder_changes(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    broken = publish(tmp_path, 2)
    with started_store(ModelConfig("m", tmp_path), load=load) as store:
        for _ in range(3):
            store.reload([ModelConfig("m", tmp_path)])
        assert load.tries[broken] == 1
        (broken / "answer.txt").write_text("two", encoding="utf-8")
        store.reload([ModelConfig("m", tmp_path)])
        assert answer_of(store) == (2, "two")
        status, = store.statuses("m", version=2)
        assert (status.state, status.error, status.error_code) == (VersionState.AVAILABLE, "", Code.OK)


def test_failed_version_is_tried_again_as_often_as_asked_for(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path, 1, "one")
    broken = publish(tmp_path, 2)
    with started_store(ModelConfig("m", tmp_path), load=load, max_num_load_retries=3, load_retry_interval_seconds=0) as store:
        store.reload([ModelConfig("m", tmp_path)])
        assert answer_of(store) == (1, "one")
    assert load.tries[broken] == 1 + 3


def test_fault_that_passes_without_a_change_of_the_folder_is_overcome_without_polls(tmp_path: Path) -> None:
    num_tries = 0

    def load(folder: Path, _: ModelConfig) -> FilePredictor:
        nonlocal num_tries
        num_tries += folder.name == "2"
        if folder.name == "2" and num_tries < 3:
            raise MemoryError("no memory now")
        return FilePredictor(folder)

    publish(tmp_path, 1, "one")
    publish(tmp_path, 2, "two")
    with started_store(ModelConfig("m", tmp_path), load=load, poll_seconds=0, load_retry_interval_seconds=0.01) as store:
        wait_for_state(store, 2, VersionState.AVAILABLE)
        assert answer_of(store) == (2, "two")
    assert num_tries == 3


def test_version_before_a_broken_newest_one_is_served_at_start(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    publish(tmp_path, 2)
    with started_store(ModelConfig("m", tmp_path)) as store:
        assert answer_of(store) == (1, "one")


def test_start_without_any_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=f"'{tmp_path}/missing' holds no version of 'm'.*the newest version"):
        ModelStore(load=Loader()).start([ModelConfig("m", tmp_path / "missing")])


def test_start_without_a_wanted_version_says_which(tmp_path: Path) -> None:
    publish(tmp_path, 1, "one")
    with pytest.raises(ServingError, match="holds no version of 'm'.*wanted: versions 7, 8"):
        ModelStore(load=Loader()).start([ModelConfig("m", tmp_path, SpecificVersions(frozenset({8, 7})))])


def test_start_tells_each_error_of_each_model_and_closes_what_it_had_loaded(tmp_path: Path) -> None:
    load = Loader()
    publish(tmp_path / "good", 1, "one")
    publish(tmp_path / "bad", 1)
    publish(tmp_path / "bad", 2)
    store = ModelStore(load=load)
    with pytest.raises(ServingError) as caught:
        store.start([ModelConfig("good", tmp_path / "good"), ModelConfig("bad", tmp_path / "bad"),
                     ModelConfig("none", tmp_path / "none")])
    bad, none = str(caught.value).splitlines()
    assert f"no version of 'bad' in '{tmp_path}/bad' can be loaded. version 2: FileNotFoundError" in bad
    assert "version 1: FileNotFoundError" in bad
    assert "holds no version of 'none'" in none
    assert len(load.predictors) == 1
    assert load.open_predictors() == []


def test_predictor_that_cannot_be_closed_is_told_and_the_next_version_serves(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class StubbornPredictor(FilePredictor):
        def close(self) -> None:
            raise RuntimeError("stubborn")

    publish(tmp_path, 1, "one")
    with started_store(ModelConfig("m", tmp_path), load=lambda folder, _: StubbornPredictor(folder)) as store:
        publish(tmp_path, 2, "two")
        store.look()
        wait_for_state(store, 1, VersionState.END)
        assert states(store) == {2: VersionState.AVAILABLE, 1: VersionState.END}
    assert "'m' version 1 could not be closed" in caplog.text
    assert "stubborn" in caplog.text
