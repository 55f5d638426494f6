"""What is written into TFRecords comes back the same, or the file that is broken is named."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

import experiments_manager
from data_pipelines import tfrecords
from data_pipelines.batches import cached
from DataProvider_input_pipeline import read_tfrecords, write_tfrecords
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment

NUM_SAMPLES = 50


def numbers(count: int = NUM_SAMPLES, *, batch_size: int = 8) -> tf.data.Dataset:
    """Pairs (vector of 100 random values that starts with the sample's number, number)."""
    vectors = np.random.default_rng(0).normal(size=[count, 100]).astype(np.float32)
    vectors[:, 0] = np.arange(count)
    return tf.data.Dataset.from_tensor_slices((vectors, np.arange(count))).batch(batch_size)


def labels_of(dataset: tf.data.Dataset) -> list[int]:
    return [int(label) for _, labels in dataset for label in np.atleast_1d(labels)]


def assert_equal(first: tf.data.Dataset, second: tf.data.Dataset) -> None:
    assert first.element_spec == second.element_spec
    elements = list(zip(first, second, strict=True))
    assert elements
    for pair in elements:
        tf.nest.assert_same_structure(*pair)
        for one, other in zip(*map(tf.nest.flatten, pair)):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "records"
    write_tfrecords(numbers(), folder, num_shards=4)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """Records of `numbers()` that the test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "records"))


@pytest.mark.parametrize(("num_shards", "compression"), [(1, "GZIP"), (7, "ZLIB"), (NUM_SAMPLES + 3, None)])
def test_batches_come_back_in_order_whatever_the_shards(tmp_path, num_shards, compression):
    folder = tmp_path / "été 1" / "records"
    assert write_tfrecords(numbers(), folder, num_shards=num_shards, compression=compression) == NUM_SAMPLES
    assert_equal(read_tfrecords(folder, batch_size=8, shuffle_batches=False), numbers())
    assert len(list(folder.glob("*.tfrecords"))) == num_shards and os.listdir(folder.parent) == ["records"]


def test_other_batch_sizes_and_single_samples_can_be_read(folder):
    for batch_size, drop_remainder in ((20, False), (20, True), (1, False)):
        found = read_tfrecords(folder, batch_size=batch_size, shuffle_batches=False, drop_remainder=drop_remainder)
        expected = numbers().unbatch().batch(batch_size, drop_remainder=drop_remainder)
        assert_equal(found, expected)
        assert found.cardinality() == len(list(expected))
    samples = read_tfrecords(folder, shuffle_batches=False)
    assert_equal(samples, numbers().unbatch())
    assert samples.cardinality() == NUM_SAMPLES


def test_elements_are_written_as_they_are_on_request(tmp_path):
    assert write_tfrecords(numbers(), tmp_path / "records", num_shards=2, unbatch=False) == 7
    assert_equal(read_tfrecords(tmp_path / "records", shuffle_batches=False), numbers())


def test_each_type_of_numbers_comes_back(tmp_path):
    dtypes = (tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.uint8, tf.int8, tf.uint16, tf.int16, tf.int32, tf.uint32,
              tf.int64, tf.uint64, tf.bool, tf.complex64)
    dataset = tf.data.Dataset.from_tensor_slices({
        dtype.name: tf.cast(np.arange(12).reshape(3, 2, 2), dtype) for dtype in dtypes}).batch(2)
    write_tfrecords(dataset, tmp_path / "records", num_shards=1)
    assert_equal(read_tfrecords(tmp_path / "records", batch_size=2, shuffle_batches=False), dataset)


def test_nests_of_tuples_and_dicts_with_text_and_ragged_sizes_come_back(tmp_path):
    def samples():
        for number in range(5):
            yield ({"b": np.full([number, 3], number, np.uint16), "a": ("été 图\0".encode() * number, np.float32(number))},
                   (np.array([b"x", b""]),))

    spec = ({"b": tf.TensorSpec([None, 3], tf.uint16), "a": (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.float32))},
            (tf.TensorSpec([2], tf.string),))
    dataset = tf.data.Dataset.from_generator(samples, output_signature=spec)
    write_tfrecords(dataset, tmp_path / "records", num_shards=2, unbatch=False)
    assert_equal(read_tfrecords(tmp_path / "records", shuffle_batches=False), dataset)


def test_a_single_tensor_of_unknown_rank_comes_back(tmp_path):
    dataset = tf.data.Dataset.from_generator(lambda: iter([1.0, [2.0]]), output_signature=tf.TensorSpec(None, tf.float32))
    write_tfrecords(dataset, tmp_path / "records", num_shards=1, unbatch=False)
    assert_equal(read_tfrecords(tmp_path / "records", shuffle_batches=False), dataset)


def test_the_records_are_plain_examples_that_other_programs_can_read(folder):
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    assert schema["num_samples"] == NUM_SAMPLES and schema["compression"] == "GZIP"
    assert schema["sample"] == [{"dtype": "float32", "shape": [100]}, {"dtype": "int64", "shape": []}]
    records = tf.data.TFRecordDataset(str(folder / schema["shards"][1]["file"]), compression_type="GZIP")
    example = tf.train.Example.FromString(next(records.as_numpy_iterator()))
    assert tf.make_ndarray(TensorProto.FromString(example.features.feature["1"].bytes_list.value[0])) == 1


def test_compression_makes_the_files_smaller(tmp_path):
    zeros = tf.data.Dataset.from_tensors(tf.zeros([1, 10000]))
    for name, compression in (("plain", None), ("packed", "GZIP")):
        write_tfrecords(zeros, tmp_path / name, num_shards=1, compression=compression)
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).glob("*.tfrecords")) for name in ("plain", "packed")]
    assert sizes[0] > 40000 and sizes[1] < 1000


@pytest.mark.parametrize("options", [{}, {"shuffle_buffer": 5}, {"cache": True}])
def test_each_pass_has_an_order_of_its_own_and_each_run_the_same(folder, options):
    first, again = (read_tfrecords(folder, batch_size=8, shuffle_batches=True, seed=1, **options) for _ in range(2))
    passes = [labels_of(first) for _ in range(3)]
    assert all(sorted(order) == list(range(NUM_SAMPLES)) for order in passes) and len(set(map(tuple, passes))) == 3
    assert [labels_of(again) for _ in range(3)] == passes
    restarted = read_tfrecords(folder, batch_size=8, shuffle_batches=True, seed=1, **options)
    for _ in range(2):
        iter(restarted)
    assert labels_of(restarted) == passes[2]


def test_a_small_buffer_mixes_samples_that_were_written_far_apart(tmp_path):
    write_tfrecords(numbers(1000), tmp_path / "records", num_shards=40)
    read = read_tfrecords(tmp_path / "records", shuffle_batches=True, shuffle_buffer=20, seed=1)
    assert len({label % 40 for label in labels_of(read.take(40))}) >= 12


def test_without_a_seed_of_its_own_the_global_seed_counts(folder):
    def drawn():
        tf.random.set_seed(5)
        return labels_of(read_tfrecords(folder, shuffle_batches=True))

    assert drawn() == drawn()


@pytest.mark.parametrize("in_files", [False, True])
def test_a_cache_keeps_the_samples_and_shuffles_them_anew(folder, tmp_path, in_files):
    cache = tmp_path / "new folder" / "cache" if in_files else True
    dataset = read_tfrecords(folder, shuffle_batches=True, cache=cache, seed=2)
    first = labels_of(dataset)
    for shard in folder.glob("*.tfrecords"):
        shard.unlink()
    second = labels_of(dataset)
    assert sorted(first) == sorted(second) == list(range(NUM_SAMPLES)) and first != second


def test_a_pass_that_was_left_early_does_not_spoil_the_cache(folder, tmp_path):
    dataset = read_tfrecords(folder, shuffle_batches=False, cache=tmp_path / "cache")
    assert labels_of(dataset.take(3)) == [0, 1, 2]
    assert labels_of(dataset) == labels_of(dataset) == list(range(NUM_SAMPLES))


@pytest.mark.parametrize("cache", [3, None, ""])
def test_a_cache_that_makes_no_sense_is_an_error(cache):
    with pytest.raises(ValueError, match="cache must be True"):
        cached(tf.data.Dataset.range(3), cache)


def test_an_existing_folder_is_not_written_over(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="records' exists, and is not written over"):
        write_tfrecords(numbers(9), folder, num_shards=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_dataset_that_fails_midway_leaves_nothing(tmp_path):
    def fail(vectors, labels):
        return tf.numpy_function(lambda values: np.int64(1) if values.max() < 40 else values[99], [labels], tf.int64)

    with pytest.raises(tf.errors.OpError):
        write_tfrecords(numbers().map(fail), tmp_path / "records", num_shards=3, unbatch=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_writing_that_is_killed_leaves_no_folder_of_that_name(tmp_path):
    code = (f"import sys, tensorflow as tf; sys.path.insert(0, {str(ROOT)!r})\n"
            "from DataProvider_input_pipeline import write_tfrecords\n"
            "def endless():\n    while True:\n        yield [1.0]\n"
            "dataset = tf.data.Dataset.from_generator(endless, output_signature=tf.TensorSpec([1]))\n"
            f"write_tfrecords(dataset, {str(tmp_path / 'records')!r}, num_shards=2)\n")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".records.*/*.tfrecords")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = os.listdir(tmp_path)
    assert len(left) == 1 and left[0].startswith(".records.")
    assert write_tfrecords(numbers(), tmp_path / "records", num_shards=2) == NUM_SAMPLES
    with pytest.raises(FileNotFoundError, match=r"holds no schema.json"):
        read_tfrecords(tmp_path / left[0], shuffle_batches=False)


def test_long_work_tells_how_far_it_is(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tfrecords, "_SECONDS_BETWEEN_NOTICES", 0)
    with caplog.at_level(logging.INFO):
        write_tfrecords(numbers(10), tmp_path / "known", num_shards=1)
        write_tfrecords(numbers(10).filter(lambda *_: True), tmp_path / "unknown", num_shards=1, unbatch=False)
    messages = [record.message.split(": ") for record in caplog.records if record.name == tfrecords.__name__]
    assert messages[8:11] == [[str(tmp_path / "known"), text] for text in (
        "9 samples written, element 2 of 2", "10 samples written, element 2 of 2", "all 10 samples written")]
    assert [text for _, text in messages[11:]] == ["1 samples written", "2 samples written", "all 2 samples written"]


@pytest.mark.parametrize(("compression", "place"), [("GZIP", 0.2), ("GZIP", 0.99), ("ZLIB", 0.5), (None, 0.6)])
def test_a_corrupt_shard_is_named_and_so_is_how_much_of_it_is_left(tmp_path, compression, place):
    write_tfrecords(numbers(), tmp_path / "records", num_shards=4, compression=compression)
    shard = sorted((tmp_path / "records").glob("*.tfrecords"))[2]
    content = bytearray(shard.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    shard.write_bytes(content)
    dataset = read_tfrecords(tmp_path / "records", batch_size=8, shuffle_batches=False)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(dataset)
    assert f"{shard}: " in error.value.message and " of 12 samples can be read" in error.value.message


def test_a_shard_that_is_shorter_when_it_is_read_is_named(folder):
    shard = sorted(folder.glob("*.tfrecords"))[3]
    dataset = read_tfrecords(folder, batch_size=8, shuffle_batches=True)
    with tf.io.TFRecordWriter(str(shard), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        writer.write(b"")
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(dataset)
    shard.write_bytes(b"")  # which TensorFlow takes for a file without records
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(dataset)
    assert f"{shard}: 0 of 12 samples can be read" in error.value.message


def test_a_shard_that_is_cut_off_is_named_at_once(folder):
    shard = sorted(folder.glob("*.tfrecords"))[1]
    size = shard.stat().st_size
    os.truncate(shard, size // 2)
    with pytest.raises(ValueError, match=f"'{shard}' has {size // 2} bytes, but {size} were written"):
        read_tfrecords(folder, shuffle_batches=False)


def test_a_missing_shard_is_named_at_once(folder):
    shard = sorted(folder.glob("*.tfrecords"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of 4 shards are missing: '{shard}'"):
        read_tfrecords(folder, shuffle_batches=False)


@pytest.mark.parametrize(("old", "new"), [("float32", "uint8"), ("[\n    100\n   ]", "[99]"), (
    '"sample": [', '"sample": [{"dtype": "int64", "shape": []},')])
def test_a_schema_that_does_not_fit_is_named(folder, old, new):
    schema = folder / "schema.json"
    text = schema.read_text(encoding="utf-8")
    assert old in text
    schema.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=f"{schema} does not fit the records of '.*samples-00000-of-00004.tfrecords'"):
        read_tfrecords(folder, shuffle_batches=False)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("{", "", "cannot be read as a schema"), ('"format": 1', '"format": 2', "it is of the format 2, but 1 is known"),
    ('"num_bytes"', '"size"', "cannot be read as a schema"), ('"format"', '"form"', "'format' is missing"),
    ('"GZIP"', '"BZIP2"', "unknown compression 'BZIP2'"), ("float32", "float33", "cannot be read as a schema")])
def test_a_schema_that_cannot_be_read_is_named(folder, old, new, message):
    schema = folder / "schema.json"
    schema.write_text(schema.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=f"{schema}.*{message}"):
        read_tfrecords(folder, shuffle_batches=False)


def test_a_training_on_a_corrupt_shard_tells_its_name(tmp_path):
    x = np.random.default_rng(0).normal(size=[90, 3]).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(9)
    write_tfrecords(dataset, tmp_path / "records", num_shards=3)
    shard = sorted((tmp_path / "records").glob("*.tfrecords"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    returned = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
    file = write_experiment(tmp_path, (returned, f"""
    from DataProvider_input_pipeline import read_tfrecords
    return read_tfrecords({str(tmp_path / "records")!r}, batch_size=batch_size, shuffle_batches=shuffle_batches)"""))
    with pytest.raises(Exception, match="samples can be read, the rest is corrupt") as error:
        experiments_manager.run(file)
    assert str(shard) in str(error.value)


def ragged(values: np.ndarray) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(values, [1, 2])


@pytest.mark.parametrize(("dataset", "options", "message"), [
    (numbers(), {"num_shards": 0}, "num_shards must be a whole number of at least 1. Got 0"),
    (numbers(), {"compression": "BZIP2"}, "compression must be one of 'GZIP', 'ZLIB', None. Got 'BZIP2'"),
    (numbers().repeat(), {}, "dataset never ends"), (numbers().take(0), {}, "dataset is empty"),
    (tf.data.Dataset.range(3), {}, "dataset yields scalars.* Set unbatch=False"),
    ([1, 2], {}, "dataset must be a tf.data.Dataset. Got list"),
    (tf.data.Dataset.from_tensors(ragged(np.arange(3))), {}, "TFRecords hold dense tensors"),
    (numbers().map(lambda vectors, labels: {1: vectors}), {}, "TFRecords hold dense tensors")])
def test_what_cannot_be_written_is_told(tmp_path, dataset, options, message):
    with pytest.raises(ValueError, match=message):
        write_tfrecords(dataset, tmp_path / "records", **{"num_shards": 2, **options})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("options", "message"), [
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ({"shuffle_buffer": 0}, "shuffle_buffer must be a whole number of at least 1"),
    ({"drop_remainder": True}, "drop_remainder=True needs a batch_size"), ({"cache": 1.5}, "cache must be True")])
def test_arguments_of_reading_that_make_no_sense_are_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        read_tfrecords(folder, shuffle_batches=True, **options)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist"):
        read_tfrecords(tmp_path / "nowhere", shuffle_batches=False)
