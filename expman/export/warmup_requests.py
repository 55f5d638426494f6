"""Writes the requests that a model server replays before a new version answers; without them the first answers are slow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.errors import ExportError
from expman.export.served_model import ServedModel
from expman.wire.protos import predict_pb2, prediction_log_pb2
from expman.wire.tensor_codec import to_tensor_proto

_LOGGER = logging.getLogger(__name__)
_FOLDER, _FILE = "assets.extra", "tf_serving_warmup_requests"  # where TensorFlow Serving looks for them
_MOST_BYTES = 8 * 2**20


def write_warmup_requests(served: ServedModel, version_folder: Path, *, model_name: str,
                          sample: Mapping[str, np.ndarray]) -> None:
    """Writes two requests for each signature, with one sample and with all, as a TFRecord file of `PredictionLog`.

    Left out is what a server could not answer, or would make the file larger than 8 MiB.

    Arguments:
        served: the model in memory.
        version_folder: holds `saved_model.pb`.
        model_name: under which the model is served.
        sample: real inputs, name → array, that the model answers.

    Raises:
        ExportError: no request can carry an input of this type.
    """
    records: list[bytes] = []
    num_bytes = 0
    for batch in _batches(served, sample):
        num_bytes += len(served.named_signatures) * sum(map(_num_bytes, batch.values()))
        if num_bytes > _MOST_BYTES:
            _LOGGER.info("A server will not be warmed up with a batch of %d samples of the model %s: its requests would take "
                         "%.0f MiB.", _num_samples(batch), model_name, num_bytes / 2**20)
            break
        records += [_request(signature, model_name=model_name, inputs=batch) for signature in served.named_signatures]
    if records:
        (version_folder / _FOLDER).mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(version_folder / _FOLDER / _FILE)) as file:
            for record in records:
                file.write(record)


def _batches(served: ServedModel, sample: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:
    """The first sample, if the model can answer it alone, and all."""
    if not served.takes_any_batch_size or _num_samples(sample) == 1:
        return [sample]
    first = {name: value[:1] for name, value in sample.items()}
    try:
        served.answers(first)
    except tf.errors.OpError:  # a network may want, for instance, pairs of samples
        return [sample]
    return [first, sample]


def _request(signature_name: str, *, model_name: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model_name, signature_name
    for name, value in inputs.items():
        try:
            request.inputs[name].CopyFrom(to_tensor_proto(value, typed_fields=False))
        except ValueError as error:
            raise ExportError(f"The served input '{name}' cannot be sent to a server: {error} Declare it with another type. "
                              "Nothing was published.") from error
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    return log.SerializeToString()


def _num_bytes(array: np.ndarray) -> int:
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes


def _num_samples(batch: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(batch.values())))
