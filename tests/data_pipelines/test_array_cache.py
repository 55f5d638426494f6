"""The cache of decoded files: each is decoded once, and again when it has changed."""

from __future__ import annotations

import os

import numpy as np
import pytest

from data_pipelines.array_cache import ArrayCache, ArrayCacheError


class Reader:
    """Reads the bytes of a file, or of all files of a folder, and counts."""

    def __init__(self):
        self.num_reads = 0

    def __call__(self, path):
        self.num_reads += 1
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        return np.concatenate([np.fromfile(file, np.uint8) for file in files])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "é file.bin"
    path.write_bytes(b"abc")
    return path


@pytest.mark.parametrize(("place", "num_reads"), [(False, 3), (True, 1), ("cache/deep", 1)])
def test_a_file_is_read_once(file, tmp_path, place, num_reads):
    cache, reader = ArrayCache(tmp_path / place if isinstance(place, str) else place), Reader()
    for _ in range(3):
        assert cache.get(str(file), "bytes", reader).tobytes() == b"abc"
    assert reader.num_reads == num_reads


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_read_in_another_way_is_kept_apart(file, tmp_path, is_folder):
    cache = ArrayCache(tmp_path / "cache" if is_folder else True)
    assert cache.get(str(file), "bytes", Reader()).tobytes() == b"abc"
    assert cache.get(str(file), "doubled", lambda path: Reader()(path) * 2).tolist() == [194, 196, 198]


def test_a_folder_serves_later_runs_as_memory_maps_until_the_file_changes(file, tmp_path):
    ArrayCache(tmp_path / "cache").get(str(file), "bytes", Reader())
    reader = Reader()
    again = ArrayCache(tmp_path / "cache").get(str(file), "bytes", reader)
    assert isinstance(again, np.memmap) and again.tobytes() == b"abc" and reader.num_reads == 0
    file.write_bytes(b"other")
    assert ArrayCache(tmp_path / "cache").get(str(file), "bytes", reader).tobytes() == b"other"
    assert not list((tmp_path / "cache").glob("*.unfinished"))


def test_a_folder_of_slices_is_read_anew_when_a_slice_changes(tmp_path):
    (tmp_path / "slices").mkdir()
    for name in ("a", "b"):
        (tmp_path / "slices" / name).write_bytes(b"x")
    cache, reader = ArrayCache(tmp_path / "cache"), Reader()
    cache.get(str(tmp_path / "slices"), "bytes", reader)
    (tmp_path / "slices" / "a").write_bytes(b"yz")
    assert cache.get(str(tmp_path / "slices"), "bytes", reader).tobytes() == b"yzx"


def test_a_memory_map_is_not_copied(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5))
    cache = ArrayCache(tmp_path / "cache")
    cache.get(str(tmp_path / "a.npy"), "map", lambda path: np.load(path, mmap_mode="r"))
    assert not list((tmp_path / "cache").iterdir())


def test_faults_of_the_reader_are_not_kept(file, tmp_path):
    def fault(path):
        raise ValueError("no image")

    for place in (True, tmp_path / "cache"):
        cache = ArrayCache(place)
        with pytest.raises(ValueError, match="no image"):
            cache.get(str(file), "bytes", fault)
        assert cache.get(str(file), "bytes", Reader()).tobytes() == b"abc"


def test_a_folder_that_cannot_be_written_is_told_and_is_no_fault_of_the_file(file, tmp_path):
    with pytest.raises(FileExistsError):
        ArrayCache(file)
    cache = ArrayCache(tmp_path / "cache")
    (tmp_path / "cache").rmdir()
    with pytest.raises(ArrayCacheError, match="the cache folder .*cache cannot be written"):
        cache.get(str(file), "bytes", Reader())


@pytest.mark.parametrize("place", [3, None, ["a"]])
def test_another_place_is_refused(place):
    with pytest.raises(ValueError, match="cache must be True"):
        ArrayCache(place)
