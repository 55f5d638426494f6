"""Writes any dataset once into sharded, compressed TFRecords, and reads it back."""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from contextlib import ExitStack

import numpy as np
import tensorflow as tf

from data_pipelines.batches import batched, cached
from data_pipelines.checks import one_of, whole_number
from data_pipelines.pass_seeds import seeded_passes
from data_pipelines.tfrecord_schema import COMPRESSIONS, SCHEMA_FILE, Schema, Shard, check_spec, record_of, serialized_tensors

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_NOTICES = 10
_MOST_SHARDS_MIXED = 16
_RECORDS_COUNTED_AT_ONCE = 64
_REMEDY = "Copy the folder again, or write the TFRecords anew."


def write_tfrecords(dataset: tf.data.Dataset, folder: str | os.PathLike[str], *, num_shards: int,
                    compression: str | None = "GZIP", unbatch: bool = True) -> int:
    """Writes one pass of a dataset into a new folder of TFRecords, with their schema beside.

    Samples go to the shards in turn, so that all are equally large. The folder appears under its name when all is written;
    what is unfinished has a name that begins with a dot and is removed, unless the process is killed. Random changes of the
    samples are written as they were drawn: leave them out here and make them after `read_tfrecords`.

    Arguments:
        dataset: finite; dense tensors of any types in any nest of tuples and dicts.
        folder: must not exist yet; folders above it are made.
        num_shards: number of files; as many as can be read at the same time, and of 100 MB or more each, read fastest.
        compression: 'GZIP', 'ZLIB' or None.
        unbatch: whether the dataset yields batches, of which the samples are written one by one, so that they can be shuffled
            and batched anew. False: its elements are written as they are.

    Returns:
        How many samples (or elements) were written.

    Raises:
        ValueError: an argument is wrong, or the dataset is empty, endless, or holds what TFRecords cannot hold.
        FileExistsError: the folder exists.
        tf.errors.OpError: what the dataset raises; nothing is left then.
    """
    whole_number("num_shards", num_shards, 1)
    one_of("compression", compression, COMPRESSIONS)
    folder = os.path.abspath(folder)
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder!r} exists, and is not written over. Remove it, or choose another folder.")
    _check_dataset(dataset, unbatch=unbatch)
    unfinished = os.path.join(os.path.dirname(folder), f".{os.path.basename(folder)}.{uuid.uuid4().hex[:8]}")
    os.makedirs(unfinished)
    try:
        schema = _write_shards(_numbered_samples(dataset, unbatch=unbatch), unfinished, num_shards=num_shards,
                               compression=compression, notice=_ProgressNotice(folder, int(dataset.cardinality())))
        schema.save(unfinished)
        os.rename(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _LOG.info("%s: all %d samples written", folder, schema.num_samples)
    return schema.num_samples


def _check_dataset(dataset: tf.data.Dataset, *, unbatch: bool) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(f"dataset must be a tf.data.Dataset. Got {type(dataset).__name__}.")
    check_spec(dataset.element_spec)
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("dataset never ends, since it repeats itself. Remove its repeat(), or end it by take(n).")
    scalars = [spec for spec in tf.nest.flatten(dataset.element_spec) if spec.shape.rank == 0]
    if unbatch and scalars:
        raise ValueError(f"dataset yields scalars, {scalars[0]}, and so no batches. Set unbatch=False.")


def _numbered_samples(dataset: tf.data.Dataset, *, unbatch: bool) -> tf.data.Dataset:
    """Pairs (number of the element that a sample comes from, sample)."""
    numbered = dataset.enumerate()
    if not unbatch:
        return numbered
    return numbered.map(lambda number, batch: (tf.repeat(number, tf.shape(tf.nest.flatten(batch)[0])[0]), batch)).unbatch()


class _ProgressNotice:
    """Tells now and then in the log how much is written.

    Arguments:
        folder: what is written.
        num_elements: of the dataset; negative: not known.
    """

    def __init__(self, folder: str, num_elements: int) -> None:
        self._folder = folder
        self._num_elements = num_elements
        self._next_notice = time.monotonic() + _SECONDS_BETWEEN_NOTICES

    def __call__(self, num_samples: int, element: int) -> None:
        if time.monotonic() < self._next_notice:
            return
        share = f", element {element + 1} of {self._num_elements}" if self._num_elements >= 0 else ""
        _LOG.info("%s: %d samples written%s", self._folder, num_samples, share)
        self._next_notice = time.monotonic() + _SECONDS_BETWEEN_NOTICES


def _write_shards(samples: tf.data.Dataset, folder: str, *, num_shards: int, compression: str | None,
                  notice: _ProgressNotice) -> Schema:
    spec = samples.element_spec[1]
    serialized = samples.map(lambda number, sample: (number, serialized_tensors(sample)), num_parallel_calls=tf.data.AUTOTUNE,
                             deterministic=True).prefetch(tf.data.AUTOTUNE)
    names = [f"samples-{number:05d}-of-{num_shards:05d}.tfrecords" for number in range(num_shards)]
    paths = [os.path.join(folder, name) for name in names]
    num_written = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=compression)))
                   for path in paths]
        for element, tensors in serialized.as_numpy_iterator():
            writers[num_written % num_shards].write(record_of(tensors))
            num_written += 1
            notice(num_written, element)
    if not num_written:
        raise ValueError("dataset is empty: there is nothing to write.")
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    counts = [len(range(number, num_written, num_shards)) for number in range(num_shards)]
    return Schema(spec, compression, [Shard(name, count, os.path.getsize(path))
                                      for name, count, path in zip(names, counts, paths)])


def read_tfrecords(folder: str | os.PathLike[str], *, shuffle_batches: bool, batch_size: int | None = None,
                   shuffle_buffer: int = 1000, drop_remainder: bool = False, cache: bool | str | os.PathLike[str] = False,
                   seed: int | None = None) -> tf.data.Dataset:
    """Reads what `write_tfrecords` wrote.

    Arguments:
        folder: of the TFRecords.
        shuffle_batches: whether each pass has an order of its own; else that of writing.
        batch_size: samples of a batch; None: the samples (or elements) as they were written.
        shuffle_buffer: how many samples are held to draw the next one from. The shards are shuffled too, and up to 16 read in
            turn, so that the buffer need not hold all.
        drop_remainder: whether a last batch that is not full is left out.
        cache: keeps the samples of the first pass, see `cached`; only the buffer shuffles then.
        seed: of the shuffling; None: derived from `tf.random.set_seed`.

    Returns:
        A dataset whose `element_spec` is that of the dataset that was written, up to the size of its batches.

    Raises:
        ValueError: an argument is wrong, the schema cannot be read or does not fit the records, or a shard has another size
            than when it was written.
        FileNotFoundError: the folder, its schema or a shard is missing.

    While it is read, a shard that is corrupt is a `tf.errors.InvalidArgumentError` that names it.
    """
    if batch_size is not None:
        whole_number("batch_size", batch_size, 1)
    elif drop_remainder:
        raise ValueError("drop_remainder=True needs a batch_size.")
    whole_number("shuffle_buffer", shuffle_buffer, 1)
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"the folder {folder!r} does not exist. write_tfrecords makes it.")
    schema = Schema.load(folder)
    _check_shards(folder, schema)
    if not shuffle_batches:
        return batched(cached(_samples(folder, schema), cache), batch_size=batch_size, drop_remainder=drop_remainder)
    in_order = None if cache is False else cached(_samples(folder, schema), cache)  # the cache is to hold one order only
    passes = seeded_passes(lambda pass_seed: (in_order or _samples(folder, schema, shuffle_seed=pass_seed)).shuffle(
        shuffle_buffer, seed=pass_seed), seed=seed)
    return batched(passes.apply(tf.data.experimental.assert_cardinality(schema.num_samples)), batch_size=batch_size,
                   drop_remainder=drop_remainder)


def _check_shards(folder: str, schema: Schema) -> None:
    paths = [os.path.join(folder, shard.file) for shard in schema.shards]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(paths)} shards are missing: {missing[0]!r}. {_REMEDY}")
    for path, shard in zip(paths, schema.shards):
        size = os.path.getsize(path)
        if size != shard.num_bytes:
            raise ValueError(f"{path!r} has {size} bytes, but {shard.num_bytes} were written. {_REMEDY}")
    for path, shard in zip(paths, schema.shards):
        if shard.num_samples:
            _check_first_record(path, schema)
            return


def _check_first_record(path: str, schema: Schema) -> None:
    for record in tf.data.TFRecordDataset(path, schema.compression).take(1).ignore_errors():
        try:
            schema.parsed(record)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"{os.path.join(os.path.dirname(path), SCHEMA_FILE)} does not fit the records of {path!r}: "
                             f"{error.message}. Write the TFRecords anew.") from error


def _samples(folder: str, schema: Schema, *, shuffle_seed: tf.Tensor | None = None) -> tf.data.Dataset:
    """The samples of all shards in turn: the order of writing, unless the shards are shuffled."""
    num_shards = len(schema.shards)
    shards = tf.data.Dataset.from_tensor_slices(([os.path.join(folder, shard.file) for shard in schema.shards],
                                                 [shard.num_samples for shard in schema.shards]))
    if shuffle_seed is not None:
        shards = shards.shuffle(num_shards, seed=shuffle_seed)
    records = shards.interleave(
        lambda path, num_samples: _counted(tf.data.TFRecordDataset(path, schema.compression), path, num_samples),
        cycle_length=num_shards if shuffle_seed is None else min(num_shards, _MOST_SHARDS_MIXED), block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    samples = records.map(schema.parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return samples.apply(tf.data.experimental.assert_cardinality(schema.num_samples))


def _counted(records: tf.data.Dataset, path: tf.Tensor, num_samples: tf.Tensor) -> tf.data.Dataset:
    """The records of a shard, and an error that names it when they end early: TensorFlow's own does not, or there is none."""
    end = tf.data.Dataset.from_tensors(tf.constant([], tf.string))
    groups = records.ignore_errors().batch(_RECORDS_COUNTED_AT_ONCE).concatenate(end)

    def count(num_before: tf.Tensor, group: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        num_found = tf.cond(tf.size(group) == 0, lambda: tf.numpy_function(
            _checked_number, [path, num_before, num_samples], tf.int32, stateful=False), lambda: num_before + tf.size(group))
        return tf.ensure_shape(num_found, []), group

    return groups.scan(tf.constant(0), count).unbatch()


def _checked_number(path: bytes, num_found: np.int32, num_samples: np.int32) -> np.int32:
    if num_found != num_samples:
        raise ValueError(f"{os.fsdecode(path)}: {num_found} of {num_samples} samples can be read, the rest is corrupt. "
                         f"{_REMEDY}")
    return num_found
