"""Answers the requests that a version brings for its warm-up, before it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.serving.inference.inference import Inference
from expman.wire.protos import prediction_log_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from expman.serving.models.model_store import ServedVersion


class _OnlyVersion:
    """Looks like a store that has one version, for whatever model a request names."""

    def __init__(self, served: ServedVersion) -> None:
        self._served = served

    def acquire(self, name: str, **_: object) -> ServedVersion:
        self._served.hold()
        return self._served


def replay(served: ServedVersion, log: prediction_log_pb2.PredictionLog) -> None:
    """Answers one logged request with a version that no store has yet, and drops the answer.

    Raises:
        StatusError: the version cannot answer it, or the log holds none that can be replayed.
    """
    inference = Inference(_OnlyVersion(served))
    kind = log.WhichOneof("log_type")
    if kind == "multi_inference_log":
        inference.multi_inference(log.multi_inference_log.request)
        return
    answer = {"predict_log": inference.predict, "classify_log": inference.classify, "regress_log": inference.regress}.get(kind)
    if answer is None:
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = getattr(log, kind).request
    request.model_spec.name = served.name  # Logs made elsewhere name the model as it was called there.
    answer(request)
