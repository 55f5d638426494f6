"""Batching parameters have TensorFlow Serving's defaults and rules, and say what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expman.errors import ServingError
from expman.serving.batching.batching_parameters import BatchingParameters, read_batching_parameters


def _file(folder: Path, text: str) -> Path:
    file = folder / "batching.pbtxt"
    file.write_text(text)
    return file


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    parameters = read_batching_parameters(_file(tmp_path, ""))
    assert parameters == BatchingParameters(
        max_batch_size=1000, batch_timeout_micros=0, max_enqueued_batches=10, num_batch_threads=os.cpu_count(),
        allowed_batch_sizes=(), pad_variable_length_inputs=False, enable_large_batch_splitting=False)
    assert parameters.largest_batch == 1000


def test_each_field_is_read(tmp_path: Path) -> None:
    parameters = read_batching_parameters(_file(tmp_path, """
        max_batch_size { value: 128 }  # samples
        batch_timeout_micros { value: 0 }
        max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: 'pool' }
        allowed_batch_sizes: 8
        allowed_batch_sizes: 32
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 32 }
    """))
    assert parameters == BatchingParameters(
        max_batch_size=128, batch_timeout_micros=0, max_enqueued_batches=7, num_batch_threads=3,
        allowed_batch_sizes=(8, 32), pad_variable_length_inputs=True, enable_large_batch_splitting=True,
        max_execution_batch_size=32)
    assert parameters.largest_batch == 32


def test_execution_size_has_no_effect_where_nothing_is_split() -> None:
    assert BatchingParameters(max_batch_size=64, max_execution_batch_size=100).largest_batch == 64


@pytest.mark.parametrize(("values", "words"), [
    ({"max_batch_size": 0}, ["max_batch_size must be positive; was 0"]),
    ({"batch_timeout_micros": -1}, ["batch_timeout_micros must be non-negative; was -1"]),
    ({"max_enqueued_batches": 0}, ["max_enqueued_batches must be positive; was 0"]),
    ({"num_batch_threads": 0}, ["num_batch_threads must be positive; was 0"]),
    ({"allowed_batch_sizes": (8, 4, 1000)}, ["monotonically increasing; were 8, 4, 1000"]),
    ({"allowed_batch_sizes": (8, 8, 1000)}, ["monotonically increasing"]),
    ({"allowed_batch_sizes": (0, 1000)}, ["must be positive"]),
    ({"allowed_batch_sizes": (8, 16)},
     ["Last entry in allowed_batch_sizes must match max_batch_size; last entry was 16; expected 1000"]),
    ({"allowed_batch_sizes": (8, 1000), "enable_large_batch_splitting": True, "max_execution_batch_size": 16},
     ["must match max_execution_batch_size; last entry was 1000; expected 16"]),
    ({"enable_large_batch_splitting": True, "max_execution_batch_size": 1001},
     ["max_execution_batch_size must be between 1 and max_batch_size (1000); was 1001"]),
    ({"num_batch_threads": 0, "batch_timeout_micros": -1}, ["num_batch_threads", "batch_timeout_micros"]),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_values_that_do_not_fit_are_named(values: dict, words: list[str]) -> None:
    with pytest.raises(ServingError) as caught:
        BatchingParameters(**values)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("text", "words"), [
    ("max_batch_size { value: 0 }", "max_batch_size must be positive"),
    ("max_batch_size: 3", "Error parsing text-format tensorflow.serving.BatchingParameters"),
    ("batch_size { value: 3 }", "batch_size"),
], ids=["value", "not wrapped", "unknown field"])
def test_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(ServingError, match=words) as caught:
        read_batching_parameters(file)
    assert str(file) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"nowhere\.pbtxt"):
        read_batching_parameters(tmp_path / "nowhere.pbtxt")
