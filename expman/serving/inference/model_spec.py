"""Reads which model, version and signature a request wants, and says in the answer which ones gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expman.serving.observers.observed_request import DEFAULT_SIGNATURE_NAME
from expman.wire.protos import model_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    from expman.serving.models.model_store import ServedVersion


def wanted_model(request: object) -> tuple[str, int | None, str | None]:
    """The model's name, version and version label of any request that has a `model_spec`.

    Returns:
        (name, version, label): version and label are None where the request leaves the choice to the server.

    Raises:
        StatusError: INVALID_ARGUMENT, the request names no model.
    """
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    return wanted_version(request.model_spec)


def wanted_version(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """As `wanted_model`, of the ModelSpec itself."""
    if not spec.name:
        raise StatusError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return (spec.name, spec.version.value if choice == "version" else None,
            spec.version_label if choice == "version_label" else None)


def answered_spec(served: ServedVersion, signature_name: str = "") -> model_pb2.ModelSpec:
    """Names what gave an answer."""
    spec = model_pb2.ModelSpec(name=served.name, signature_name=signature_name)
    spec.version.value = served.number
    return spec


def wanted_signature(name: str, signatures: Mapping[str, SignatureDef], *, code: Code, words: str
                     ) -> tuple[str, SignatureDef]:
    """Finds a signature; '' stands for `serving_default`.

    Arguments:
        code, words: of the error when there is none; `{}` in the words is its name. TensorFlow Serving's methods differ here.

    Raises:
        StatusError: the model has no such signature.
    """
    name = name or DEFAULT_SIGNATURE_NAME
    signature = signatures.get(name)
    if signature is None:
        raise StatusError(code, words.format(name))
    return name, signature
