"""Joins the inputs of several requests along the batch, and cuts what the model makes of them apart again.

Errors come in the codes and words of TensorFlow Serving's BatchingSession.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expman.wire.status import Code, StatusError

_MAX_PADDED_DIMENSIONS = 6  # As TensorFlow's own padding has it.


def batch_size(feeds: Mapping[str, np.ndarray]) -> int:
    """Returns how many samples the inputs of a request hold.

    Raises:
        StatusError: INVALID_ARGUMENT, they do not have a common first dimension.
    """
    if not feeds:
        raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor")
    sizes = set()
    for array in feeds.values():
        if not array.ndim:
            raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension")
        sizes.add(array.shape[0])
    if len(sizes) > 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def joined_feeds(requests: Sequence[Mapping[str, np.ndarray]], *, num_added: int, pads_dimensions: bool
                 ) -> dict[str, np.ndarray]:
    """Returns the inputs of all requests, one after the other along the first dimension.

    Arguments:
        requests: the inputs of each, of the same names and types.
        num_added: samples to add at the end: repeats of the first one of the last request, which surely is valid.
        pads_dimensions: fill up the other dimensions to the largest of the batch; False: they are the same.

    Raises:
        StatusError: INVALID_ARGUMENT, an input cannot be filled up.
    """
    joined = {}
    for name in requests[0]:
        arrays = [request[name] for request in requests]
        if pads_dimensions:
            arrays = _padded(arrays)
        if num_added:
            arrays.append(np.repeat(arrays[-1][:1], num_added, axis=0))
        joined[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return joined


def parted_outputs(outputs: Sequence[np.ndarray], sizes: Sequence[int], *, num_added: int) -> list[list[np.ndarray]]:
    """Returns the outputs of each request.

    Arguments:
        outputs: of all of them.
        sizes: samples in each request.
        num_added: samples that belong to none.

    Raises:
        StatusError: FAILED_PRECONDITION, an output does not have one row for each sample.
    """
    num_rows = sum(sizes) + num_added
    for output in outputs:
        if not output.ndim:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if output.shape[0] != num_rows:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor's 0th dimension does not equal the sum of the "
                                                        "0th dimension sizes of the input tensors")
    if len(sizes) == 1 and not num_added:
        return [list(outputs)]
    parts, begin = [], 0
    for size in sizes:
        parts.append([output[begin:begin + size] for output in outputs])
        begin += size
    return parts


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Returns arrays of one rank, grown behind to the largest size of each dimension but the first by their own first value."""
    shape = tuple(np.max([array.shape[1:] for array in arrays], axis=0, initial=0))
    if all(array.shape[1:] == shape for array in arrays):
        return arrays
    if any(not array.size for array in arrays):
        raise StatusError(Code.INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
    if len(shape) >= _MAX_PADDED_DIMENSIONS:
        raise StatusError(Code.INVALID_ARGUMENT, "Only tensors with rank from 1 to 6 can be padded.")
    padded = []
    for array in arrays:
        larger = np.full((array.shape[0], *shape), array.flat[0], dtype=array.dtype)
        larger[tuple(map(slice, array.shape))] = array
        padded.append(larger)
    return padded
