"""How long the fingerprint of a data folder takes, the first time and when the files have not changed since.

    python benchmarks/data_fingerprint.py [GB]

Writes 1 GB of random files, unless told otherwise, into a temporary folder that it removes at the end, and prints, from one
run: the time of both passes, and how many times faster the second is. The files were just written, so the first pass reads
them from memory: it measures hashing, not the disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.records.data_fingerprint import DataFile, fingerprint_folder  # noqa: E402
from expman.records.file_hash_cache import FileHashCache  # noqa: E402

FILE_BYTES = 1_000_000
LONG_AGO_SECONDS = 1_600_000_000


def write_files(folder: Path, num_files: int) -> None:
    content = bytearray(os.urandom(FILE_BYTES))
    for number in range(num_files):
        content[:8] = number.to_bytes(8, "big")
        file = folder / f"{number // 1000:03d}" / f"{number:06d}.bin"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (LONG_AGO_SECONDS, LONG_AGO_SECONDS))  # the cache takes no file that may be changing


def timed_pass(folder: Path, cache: FileHashCache) -> tuple[float, list[DataFile]]:
    start = time.perf_counter()
    files = fingerprint_folder(folder, cache=cache, cancelled=threading.Event())
    return time.perf_counter() - start, files


def main() -> None:
    num_files = round(float(sys.argv[1] if len(sys.argv) > 1 else 1) * 1e9 / FILE_BYTES)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "data")
        data.mkdir()
        write_files(data, num_files)
        cache = FileHashCache(Path(temporary, "file_hashes.sqlite3"))
        first_seconds, first = timed_pass(data, cache)
        second_seconds, second = timed_pass(data, cache)
    assert first == second
    megabytes = sum(file.num_bytes for file in first) / 1e6
    print(f"{len(first)} files, {megabytes:.0f} MB, {os.cpu_count()} cores")
    print(f"first pass    {first_seconds:7.3f} s, {megabytes / first_seconds:8.0f} MB/s")
    print(f"second pass   {second_seconds:7.3f} s, {megabytes / second_seconds:8.0f} MB/s")
    print(f"the second takes 1/{first_seconds / second_seconds:.0f} of the first")


if __name__ == "__main__":
    main()
