"""Versions are folders whose name is a whole number that fits a message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expman.serving.models.version_folders import fingerprint, version_folders


def test_only_folders_named_by_a_number_are_versions(tmp_path: Path) -> None:
    for name in ("1", "00012", "7.unfinished", ".8", "-9", "+3", "1.0", "v2", "١", "9223372036854775808", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("a file")
    assert version_folders(tmp_path) == {1: tmp_path / "1", 12: tmp_path / "00012"}


def test_link_to_a_folder_is_a_version(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "3").symlink_to(tmp_path / "elsewhere")
    assert version_folders(tmp_path) == {3: tmp_path / "3"}


def test_version_that_is_there_twice_is_told_and_taken_as_tensorflow_serving_does(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "001").mkdir()
    assert version_folders(tmp_path) == {1: tmp_path / "1"}
    assert "holds version 1 twice: '1' is used, '001' is not" in caplog.text


def test_missing_base_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        version_folders(tmp_path / "missing")


def test_fingerprint_changes_with_each_kind_of_change_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    file = tmp_path / "variables" / "data"
    file.write_text("abc")
    seen = [fingerprint(tmp_path)]
    assert fingerprint(tmp_path) == seen[0]
    file.write_text("abcd")
    seen.append(fingerprint(tmp_path))
    os.utime(file, ns=(0, 0))
    seen.append(fingerprint(tmp_path))
    (tmp_path / "new").write_text("")
    seen.append(fingerprint(tmp_path))
    file.unlink()
    seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 5


def test_fingerprint_of_what_is_not_there_is_empty(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    assert fingerprint(tmp_path) == fingerprint(tmp_path / "missing") == ()
