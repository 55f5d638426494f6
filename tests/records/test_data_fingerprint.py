"""The fingerprint of data folders, against hashlib, and the cache that spares the second reading."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from expman.records.data_fingerprint import DataFile, FingerprintCancelledError, combined_hash, fingerprint_folder
from expman.records.file_hash_cache import FileHashCache, FileVersion, user_cache
from tests.support.project import ROOT

LONG_AGO_NS = 1_600_000_000 * 10**9
CONTENTS = {"a.csv": b"1,2\n", "empty.bin": b"", "large.bin": bytes(range(256)) * 20_000, "below/deep er/ü 中.txt": b"text"}


def write(folder: Path, name: str, content: bytes, mtime_ns: int = LONG_AGO_NS) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, ns=(mtime_ns, mtime_ns))
    return file


def expected(contents: dict[str, bytes]) -> list[DataFile]:
    return [DataFile(name, len(content), hashlib.blake2b(content, digest_size=20).hexdigest())
            for name, content in sorted(contents.items())]


@pytest.fixture
def data(tmp_path):
    for name, content in CONTENTS.items():
        write(tmp_path / "data", name, content)
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path):
    return FileHashCache(tmp_path / "cache" / "hashes.sqlite3")


def fingerprint(folder: str | Path, cache: FileHashCache) -> list[DataFile]:
    return fingerprint_folder(folder, cache=cache, cancelled=threading.Event())


def test_names_sizes_and_hashes_are_those_of_hashlib_at_first_and_from_the_cache(data, cache):
    assert fingerprint(data, cache) == expected(CONTENTS)
    assert fingerprint(data, cache) == expected(CONTENTS)


def test_a_file_of_the_same_size_and_time_is_not_read_again(data, cache):
    fingerprint(data, cache)
    write(data, "a.csv", b"9,9\n")
    assert fingerprint(data, cache) == expected(CONTENTS)


@pytest.mark.parametrize(("content", "mtime_ns"), [(b"9,9\n", LONG_AGO_NS + 1), (b"9,9,9\n", LONG_AGO_NS)])
def test_a_file_of_another_time_or_size_is_read_again(data, cache, content, mtime_ns):
    fingerprint(data, cache)
    write(data, "a.csv", content, mtime_ns)
    assert fingerprint(data, cache) == expected({**CONTENTS, "a.csv": content})


def test_a_file_that_was_just_written_is_read_again_since_its_time_may_not_tell_the_next_change(data, cache):
    file = data / "a.csv"
    file.write_bytes(b"now1")
    time_ns = file.stat().st_mtime_ns
    fingerprint(data, cache)
    write(data, "a.csv", b"now2", time_ns)
    assert fingerprint(data, cache) == expected({**CONTENTS, "a.csv": b"now2"})


@pytest.mark.parametrize("folder", ["", "nowhere", "gs://bucket/data"])
def test_a_folder_that_is_not_there_has_no_files(cache, folder):
    assert fingerprint(folder, cache) == []


def test_a_single_file_stands_for_itself(data, cache):
    assert fingerprint(data / "a.csv", cache) == expected({"a.csv": CONTENTS["a.csv"]})


def test_links_are_followed_but_not_round_in_circles_and_pipes_are_left_alone(tmp_path, data, cache, caplog):
    write(tmp_path / "elsewhere", "far.csv", b"far")
    (data / "link.csv").symlink_to(tmp_path / "elsewhere" / "far.csv")
    (data / "folder").symlink_to(tmp_path / "elsewhere")
    (data / "below" / "up").symlink_to(data)
    (data / "lost.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(data / "pipe")
    assert fingerprint(data, cache) == expected({**CONTENTS, "link.csv": b"far", "folder/far.csv": b"far"})
    assert f"{data / 'lost.csv'} is a link to nothing" in caplog.text


def test_a_link_that_turns_to_another_file_of_the_same_size_and_time_is_another_content(tmp_path, data, cache):
    one, other = write(tmp_path, "one", b"1"), write(tmp_path, "other", b"2")
    (data / "link").symlink_to(one)
    assert fingerprint(data, cache) == expected({**CONTENTS, "link": b"1"})
    (data / "link").unlink()
    (data / "link").symlink_to(other)
    assert fingerprint(data, cache) == expected({**CONTENTS, "link": b"2"})


def test_an_unreadable_file_is_named_and_the_others_are_hashed(data, cache, caplog, monkeypatch):
    """The tests may run as root, who reads all; so the failure is made where files are opened."""
    real_open = open

    def refuse(path, *arguments, **keywords):
        if str(path).endswith("a.csv"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr("builtins.open", refuse)
    files = {file.name: file.hash for file in fingerprint(data, cache)}
    assert files.pop("a.csv") == ""
    assert files == {file.name: file.hash for file in expected(CONTENTS) if file.name != "a.csv"}
    assert f"{data / 'a.csv'} cannot be read (Permission denied)" in caplog.text


def test_a_name_that_is_no_unicode_is_hashed_and_cached(data, cache):
    with open(os.fsencode(data) + b"/\xff.bin", "wb") as stream:
        stream.write(b"x")
    os.utime(os.fsencode(data) + b"/\xff.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = fingerprint(data, cache)
    assert first == expected({**CONTENTS, "\udcff.bin": b"x"}) == fingerprint(data, cache)
    assert len(combined_hash(first)) == 40


def test_the_combined_hash_tells_names_and_contents_apart(data, cache):
    files = fingerprint(data, cache)
    renamed = [DataFile("b.csv", files[0].num_bytes, files[0].hash), *files[1:]]
    changed = [DataFile(files[0].name, files[0].num_bytes, files[1].hash), *files[1:]]
    assert len({combined_hash(version) for version in (files, renamed, changed, files[1:], [])}) == 5


def test_a_cancelled_fingerprint_ends(data, cache):
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(FingerprintCancelledError):
        fingerprint_folder(data, cache=cache, cancelled=cancelled)


def test_progress_is_told_when_hashing_takes_long(data, cache, caplog, monkeypatch):
    def hash_after_the_first_message(file, cancelled):
        while "Data files hashed" not in caplog.text:
            time.sleep(0.001)
        return "hash"

    monkeypatch.setattr("expman.records.data_fingerprint._SECONDS_BETWEEN_MESSAGES", 0)
    monkeypatch.setattr("expman.records.data_fingerprint._hash_file", hash_after_the_first_message)
    with caplog.at_level(logging.INFO, "expman"):
        fingerprint(data, cache)
    assert "Data files hashed: 0 of 4, 0.0 of 0.0 GB." in caplog.text


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_a_damaged_cache_is_replaced(data, cache, caplog, damage, tmp_path):
    fingerprint(data, cache)
    file = tmp_path / "cache" / "hashes.sqlite3"
    file.write_bytes(b"no database" * 1000 if damage == "text" else file.read_bytes()[:5000])
    assert fingerprint(data, cache) == expected(CONTENTS)
    assert f"{file} is damaged and starts anew" in caplog.text
    write(data, "a.csv", b"9,9\n")
    assert fingerprint(data, cache) == expected(CONTENTS), "the new cache is used"


def test_a_cache_that_cannot_be_written_is_done_without(data, tmp_path, caplog):
    (tmp_path / "file").write_text("where the folder should be")
    assert fingerprint(data, FileHashCache(tmp_path / "file" / "hashes.sqlite3")) == expected(CONTENTS)
    assert "is not used" in caplog.text


def test_processes_may_write_the_cache_at_once(tmp_path):
    code = ("import sys; from pathlib import Path; from expman.records.file_hash_cache import FileHashCache, FileVersion\n"
            "cache = FileHashCache(Path(sys.argv[1]))\n"
            "for number in range(50):\n"
            "    cache.store([(FileVersion(f'{sys.argv[2]}/{number}', 1, 2), f'{sys.argv[2]} {number}')])")
    file = tmp_path / "cache" / "hashes.sqlite3"
    writers = [subprocess.Popen([sys.executable, "-c", code, file, name], cwd=ROOT) for name in "abcd"]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    stored = {FileVersion(f"{name}/{number}", 1, 2): f"{name} {number}" for name in "abcd" for number in range(50)}
    assert FileHashCache(file).look_up(stored) == stored


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    user_cache().store([(FileVersion("/a", 1, 2), "hash")])
    assert [file.relative_to(tmp_path) for file in tmp_path.rglob("*.sqlite3")] == [
        Path("tensorflow-experiments-manager/file_hashes.sqlite3")]
