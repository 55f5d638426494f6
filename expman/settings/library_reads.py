"""The files that h5py and TensorFlow open in C, unseen by Python's audit events: both are watched where Python calls them."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_MOST_NAMES_OF_AN_OP = 100  # more strings in a tensor are no file names, or data
_LONGEST_NAME = 4096

Notice = Callable[[str], None]


@contextlib.contextmanager
def noticed_library_reads(notice: Notice) -> Iterator[None]:
    """Hands on the names of the files that h5py and TensorFlow, as far as imported, read in this thread during the block.

    Arguments:
        notice: gets each path as it was given; also called outside the block, for reads of others.
    """
    if "h5py" in sys.modules:
        _watch_h5py(notice)
    if "tensorflow" not in sys.modules:
        yield
        return
    from expman.internals.tensorflow_internals import can_watch_reads, watched_operations
    if not can_watch_reads():
        yield
        return
    _watch_tensorflow_files(notice)

    def look(op_type: Any, inputs: Sequence[Any], attrs: Sequence[Any] | None, outputs: Any, op_name: Any = None,
             graph: Any = None) -> None:
        for text in _constant_texts(attrs) if graph is not None else _eager_texts(inputs):
            for path in _files_of(text):
                notice(path)

    with watched_operations(look):
        yield


@functools.cache  # what is wrapped stays so as long as the process
def _watch_h5py(notice: Notice) -> None:
    from h5py import h5f

    open_file = h5f.open

    @functools.wraps(open_file)
    def noticed(name: str | bytes, flags: int = h5f.ACC_RDWR, *arguments: Any, **keyword_arguments: Any) -> Any:
        if flags == h5f.ACC_RDONLY:
            notice(os.fsdecode(name))
        return open_file(name, flags, *arguments, **keyword_arguments)

    h5f.open = noticed


@functools.cache
def _watch_tensorflow_files(notice: Notice) -> None:
    """Watches what is read without an op."""
    from expman.internals.tensorflow_internals import wrap_reading_functions
    wrap_reading_functions(lambda function: _noticed(function, notice))


def _noticed(function: Callable[..., Any], notice: Notice) -> Callable[..., Any]:
    def noticed(path: str | bytes, *arguments: Any, **keyword_arguments: Any) -> Any:
        for file in _files_of(os.fsencode(path)):
            notice(file)
        return function(path, *arguments, **keyword_arguments)

    return noticed


def _eager_texts(inputs: Sequence[Any]) -> list[bytes]:
    """The strings in the inputs of an op that runs."""
    import tensorflow as tf
    texts: list[bytes] = []
    for tensor in inputs:
        if tensor.dtype == tf.string and tensor.shape.rank < 2 and tf.size(tensor) <= _MOST_NAMES_OF_AN_OP:
            texts += tensor.numpy().reshape(-1).tolist() if tensor.shape.rank else [tensor.numpy()]
    return texts


def _constant_texts(attributes: Sequence[Any] | None) -> list[bytes]:
    """The strings in the value of a constant of a graph."""
    values = [value for name, value in zip((attributes or ())[::2], (attributes or ())[1::2]) if name == "value"]
    return [text for value in values for text in list(getattr(value, "tensor", value).string_val)[:_MOST_NAMES_OF_AN_OP]]


def _files_of(text: bytes) -> list[str]:
    """The existing files that a string names: the file of that name, or those of the checkpoint."""
    if not text or len(text) > _LONGEST_NAME or b"\0" in text:
        return []
    path = os.fsdecode(text)
    if os.path.isfile(path):
        return [path]
    return glob.glob(f"{glob.escape(path)}.*") if os.path.isfile(f"{path}.index") else []
