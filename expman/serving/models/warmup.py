"""Replays the requests that a version brings along, so that its first real request is as fast as the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from google.protobuf.message import DecodeError

from expman.wire.protos import prediction_log_pb2
from expman.wire.status import Code, StatusError
from expman.wire.tf_records import read_records

_LOGGER = logging.getLogger(__name__)

WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_NUM_REQUESTS = 1000


def warm_up(version_folder: Path, *, answer: Callable[[prediction_log_pb2.PredictionLog], None]) -> int:
    """Reads a version's requests, a TFRecord file of PredictionLogs, and has each answered; most versions bring none.

    As in TensorFlow Serving, a request that cannot be answered means that the version cannot be served.

    Arguments:
        answer: sends the request of a log to the version.

    Returns:
        How many there were.

    Raises:
        StatusError: the file is damaged or holds more than 1000 requests, or one of them failed; names the file and the
            request's place in it, from 0.
    """
    file = version_folder / WARM_UP_FILE
    if not file.exists():
        return 0
    num_requests = 0
    for record in read_records(file):
        if num_requests == MAX_NUM_REQUESTS:
            raise StatusError(Code.INVALID_ARGUMENT,
                              f"Number of warmup records exceeds the maximum ({MAX_NUM_REQUESTS}) at {file}")
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise StatusError(Code.INVALID_ARGUMENT, f"Failed to parse warmup record: number {num_requests} from {file} is no "
                                                     "tensorflow.serving.PredictionLog. Write the file again.") from error
        try:
            answer(log)
        except StatusError as error:
            raise StatusError(error.code, f"warm-up request {num_requests} of {file} failed: {error.message}") from error
        num_requests += 1
    _LOGGER.info("answered %d warm-up requests of %s", num_requests, file)
    return num_requests
