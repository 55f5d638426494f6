"""Hashes a batch of data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_DIGEST_BYTES = 20


def batch_hash(batch: Any) -> str:
    """One hash over the structure, names, dtypes, shapes and values of a batch.

    Arguments:
        batch: a tensor (dense, ragged or sparse), or any nesting of tuples, lists and dicts of them; the order of a dict
            does not count.

    Returns:
        BLAKE2b, 160 bits, in hexadecimal.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    _add(digest, batch)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, part: Any) -> None:
    if isinstance(part, Mapping):
        digest.update(f"dict {len(part)};".encode())
        for name in sorted(part, key=str):
            digest.update(f"{name!r}:".encode())
            _add(digest, part[name])
    elif isinstance(part, (tuple, list)):
        digest.update(f"sequence {len(part)};".encode())
        for item in part:
            _add(digest, item)
    else:
        for tensor in tf.nest.flatten(part, expand_composites=True):
            _add_array(digest, np.asarray(tensor))


def _add_array(digest: hashlib.blake2b, array: np.ndarray) -> None:
    digest.update(f"{array.dtype.name} {array.shape};".encode())
    if array.dtype == object:  # strings: the array holds but their addresses
        for text in array.flat:
            digest.update(f"{len(text)};".encode() + text)
    else:
        digest.update(np.ascontiguousarray(array).tobytes())
