"""A changed config file changes what is served, and a broken one leaves all as it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from expman.serving.models.config_file_watcher import ConfigFileWatcher
from expman.serving.models.model_config import read_model_configs
from expman.serving.models.model_store import ModelStore
from tests.support.serving_model_stores import Loader, answer_of, publish, started_store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A config file of the models a and b, both with a version; a alone is in the file."""
    publish(tmp_path / "a", 1, "a one")
    publish(tmp_path / "b", 1, "b one")
    write(tmp_path / "models.config", "a")
    return tmp_path / "models.config"


@pytest.fixture
def store(file: Path) -> Iterator[ModelStore]:
    with started_store(*read_model_configs(file), load=Loader()) as store:
        yield store


def write(file: Path, *names: str) -> None:
    """Replaces the file at once, as a careful editor does."""
    models = "".join(f'config {{ name: "{name}" base_path: "{file.parent / name}" }}' for name in names)
    new = file.with_suffix(".new")
    new.write_text(f"model_config_list {{ {models} }}", encoding="utf-8")
    new.rename(file)


def test_thread_finds_a_changed_file(file: Path, store: ModelStore) -> None:
    watcher = ConfigFileWatcher(file, store=store, poll_seconds=0.005)
    watcher.start()
    write(file, "a", "b")
    while not store.available_versions().get("b"):
        time.sleep(0.001)
    watcher.stop()
    assert answer_of(store, "b") == (1, "b one")


def test_change_between_the_start_of_the_store_and_of_the_watcher_is_not_lost(file: Path, store: ModelStore) -> None:
    write(file, "b")
    ConfigFileWatcher(file, store=store, poll_seconds=1).look()
    assert store.available_versions() == {"b": [1]}


def test_file_that_stays_as_it_is_undoes_no_reload_that_a_client_asked_for(file: Path, store: ModelStore) -> None:
    watcher = ConfigFileWatcher(file, store=store, poll_seconds=1)
    watcher.look()
    store.reload([])
    watcher.look()
    assert store.available_versions() == {}


@pytest.mark.parametrize("content", ["model_config_list {", "model_config_list { config { name: 'b' base_path: 'b' } }", "",
                                     "\n", b"\xff\xfe", None], ids=["cut", "wrong", "empty", "blank", "binary", "missing"])
def test_broken_file_is_told_once_and_leaves_all_as_it_is(
        file: Path, store: ModelStore, caplog: pytest.LogCaptureFixture, content: str | bytes | None) -> None:
    watcher = ConfigFileWatcher(file, store=store, poll_seconds=1)
    watcher.look()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for _ in range(3):
        watcher.look()
    assert store.available_versions() == {"a": [1]}
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert str(file) in errors[0]
    assert "The models stay as they are" in errors[0]
    write(file, "b")
    watcher.look()
    assert store.available_versions() == {"b": [1]}


def test_list_without_models_removes_them(file: Path, store: ModelStore) -> None:
    write(file)
    ConfigFileWatcher(file, store=store, poll_seconds=1).look()
    assert store.available_versions() == {}


def test_model_of_the_new_file_that_cannot_be_loaded_is_told_and_the_others_serve(
        file: Path, store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    write(file, "b", "missing")
    watcher = ConfigFileWatcher(file, store=store, poll_seconds=1)
    for _ in range(3):
        watcher.look()
    assert store.available_versions() == {"b": [1], "missing": []}
    assert caplog.text.count("1 model(s) did not become available: {missing: ") == 1
