"""A file that cannot be read is named, or is skipped and counted when that is asked for."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.unreadable_files import UnreadableFileError, UnreadableFiles


def read_number(path: str) -> int:
    return int(Path(path).read_text())


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, text in (("good.txt", "7"), ("bad.txt", "seven")):
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in ("good.txt", "bad.txt", "missing.txt")]


def test_what_can_be_read_is_returned(files):
    for policy in ("raise", "skip"):
        unreadable = UnreadableFiles(policy)
        assert unreadable.read(read_number, files[0]) == 7 and not unreadable.reasons


def test_the_error_starts_with_the_path_and_tells_the_reason(files):
    with pytest.raises(UnreadableFileError, match=f"^{files[1]}: invalid literal for int.*'seven'"):
        UnreadableFiles("raise").read(read_number, files[1])
    with pytest.raises(UnreadableFileError, match=f"^{files[2]}: .*No such file"):
        UnreadableFiles("raise").read(read_number, files[2])


def test_an_error_that_names_the_file_already_is_not_wrapped_again(files):
    def read(path):
        raise UnreadableFileError(path, "line 3: too few columns")

    with pytest.raises(UnreadableFileError) as error:
        UnreadableFiles("raise").read(read, files[0])
    assert str(error.value) == f"{files[0]}: line 3: too few columns"


def test_skipped_files_are_counted_and_logged_once(files, caplog):
    unreadable = UnreadableFiles("skip")
    with caplog.at_level(logging.WARNING):
        assert [unreadable.read(read_number, path) for path in files * 3] == [7, None, None] * 3
    assert list(unreadable.reasons) == files[1:]
    assert [record.message.split(": ")[0] for record in caplog.records] == ["skipped (1 so far)", "skipped (2 so far)"]
    assert files[1] in caplog.records[0].message and "seven" in caplog.records[0].message


def test_a_mistake_in_the_reader_is_not_taken_for_a_bad_file(files):
    def read(path):
        return path.no_such_attribute

    with pytest.raises(AttributeError):
        UnreadableFiles("skip").read(read, files[0])


def test_threads_count_each_file_once(tmp_path):
    unreadable = UnreadableFiles("skip")
    paths = [str(tmp_path / str(index)) for index in range(50)]
    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(lambda path: unreadable.read(read_number, path), paths * 4))
    assert sorted(unreadable.reasons) == sorted(paths)


def test_an_unknown_policy_is_an_error():
    with pytest.raises(ValueError, match="on_unreadable_file must be one of 'raise', 'skip'. Got 'ignore'."):
        UnreadableFiles("ignore")


def test_the_error_of_a_pipeline_holds_path_and_reason(files):
    unreadable = UnreadableFiles("raise")
    numbers = tf.data.Dataset.from_tensor_slices(files).map(lambda path: tf.numpy_function(
        lambda name: np.int64(unreadable.read(read_number, name.decode())), [path], tf.int64, stateful=False))
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(numbers)
    assert f"{files[1]}: invalid literal" in error.value.message
