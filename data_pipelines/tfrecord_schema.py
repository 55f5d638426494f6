"""The file beside TFRecords that tells what is in them, and the form of a record.

A record is a `tf.train.Example` that holds each tensor of a sample as bytes of `tf.io.serialize_tensor`, under its number in
the order of `tf.nest.flatten`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

SCHEMA_FILE = "schema.json"
COMPRESSIONS = ("GZIP", "ZLIB", None)
_FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """One file of records: its name, how many samples it holds and its size."""

    file: str
    num_samples: int
    num_bytes: int


@dataclass(frozen=True)
class Schema:
    """The names, types and shapes in a folder of TFRecords.

    Attributes:
        spec: of a sample: tensors (`tf.TensorSpec`) in any nest of tuples and dicts.
        compression: 'GZIP', 'ZLIB' or None.
        shards: the files; sample i of the dataset is in the one of number i modulo their number.
    """

    spec: Any
    compression: str | None
    shards: Sequence[Shard]

    @property
    def num_samples(self) -> int:
        """Of all files together."""
        return sum(shard.num_samples for shard in self.shards)

    def save(self, folder: str) -> None:
        """Writes the schema into a folder."""
        content = {"format": _FORMAT, "num_samples": self.num_samples, "compression": self.compression,
                   "sample": _described(self.spec), "shards": [asdict(shard) for shard in self.shards]}
        with open(os.path.join(folder, SCHEMA_FILE), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, folder: str) -> Schema:
        """Reads the schema of a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not what `save` writes.
        """
        path = os.path.join(folder, SCHEMA_FILE)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{folder!r} holds no {SCHEMA_FILE}: it is no folder that write_tfrecords made.")
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            if content["format"] != _FORMAT:
                raise ValueError(f"it is of the format {content['format']}, but {_FORMAT} is known")
            if content["compression"] not in COMPRESSIONS:
                raise ValueError(f"it names the unknown compression {content['compression']!r}")
            return cls(_specified(content["sample"]), content["compression"], [Shard(**shard) for shard in content["shards"]])
        except (ValueError, TypeError, KeyError) as error:
            fault = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} cannot be read as a schema of TFRecords: {fault}. Write the TFRecords anew.") from error

    def parsed(self, record: tf.Tensor) -> Any:
        """The sample of a record.

        Raises:
            tf.errors.InvalidArgumentError: the record is not of this schema.
        """
        specs = tf.nest.flatten(self.spec)
        features = tf.io.parse_single_example(record, {str(number): tf.io.FixedLenFeature([], tf.string)
                                                       for number in range(len(specs))})
        tensors = [tf.ensure_shape(tf.io.parse_tensor(features[str(number)], spec.dtype), spec.shape)
                   for number, spec in enumerate(specs)]
        return tf.nest.pack_sequence_as(self.spec, tensors)


def serialized_tensors(sample: Any) -> tuple[tf.Tensor, ...]:
    """The tensors of a sample as bytes."""
    return tuple(tf.io.serialize_tensor(tensor) for tensor in tf.nest.flatten(sample))


def record_of(serialized: Sequence[bytes]) -> bytes:
    """A record that holds tensors as bytes."""
    return tf.train.Example(features=tf.train.Features(feature={
        str(number): tf.train.Feature(bytes_list=tf.train.BytesList(value=[tensor]))
        for number, tensor in enumerate(serialized)})).SerializeToString()


def check_spec(spec: Any) -> None:
    """Raises ValueError for what TFRecords cannot hold: tensors that are not dense, or other nests than tuples and dicts."""
    _described(spec)


def _described(spec: Any) -> Any:
    if type(spec) is tf.TensorSpec:
        return {"dtype": spec.dtype.name, "shape": None if spec.shape.rank is None else spec.shape.as_list()}
    if type(spec) is tuple:
        return [_described(part) for part in spec]
    if isinstance(spec, Mapping) and all(isinstance(name, str) for name in spec):
        return {"fields": {name: _described(part) for name, part in spec.items()}}
    raise ValueError(f"TFRecords hold dense tensors in tuples and in dicts with keys of str. Got {spec}. "
                     "Change it by Dataset.map.")


def _specified(description: Any) -> Any:
    if isinstance(description, list):
        return tuple(_specified(part) for part in description)
    if "fields" in description:
        return {name: _specified(part) for name, part in description["fields"].items()}
    return tf.TensorSpec(description["shape"], tf.as_dtype(description["dtype"]))
