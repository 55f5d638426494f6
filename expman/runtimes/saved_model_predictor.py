"""One version of a SavedModel, loaded and ready to compute tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from expman.errors import ServingError
from expman.runtimes.predictor import Predictor, served_signatures
from expman.runtimes.session import SessionOptions, open_saved_model
from expman.runtimes.session_runs import is_foreseeable
from expman.runtimes.unrestored_variables import unrestored_variables
from expman.wire.protos import meta_graph_pb2, saved_model_pb2
from expman.wire.status import StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef

SERVE_TAG = "serve"


class SavedModelPredictor(Predictor):
    """Runs a SavedModel, as `Predictor` describes.

    Arguments:
        version_folder: the folder that holds `saved_model.pb`.
        options: where and how it runs.
        tag: which of the model's graphs to load.

    Raises:
        StatusError: TensorFlow cannot read the model.
        ServingError: the model has no graph or signature to serve, or lacks a file.
    """

    def __init__(self, version_folder: Path, *, options: SessionOptions | None = None, tag: str = SERVE_TAG) -> None:
        try:
            self._session = open_saved_model(version_folder, tag=tag, options=options or SessionOptions())
        except StatusError:
            _check_saved_model(version_folder, tag=tag)
            raise
        meta_graph = meta_graph_pb2.MetaGraphDef.FromString(self._session.meta_graph)
        self._session.meta_graph = b""
        self._is_foreseeable = is_foreseeable(meta_graph)
        self.signatures = _signatures(meta_graph)
        if error := _error(version_folder, meta_graph, served_signatures(self.signatures)):
            self.close()
            raise ServingError(error)

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors; see `Predictor.run`."""
        return self._session.run(feeds, fetches, timeout_seconds=timeout_seconds)

    def is_quick(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Returns True when a run will take no longer than handing it over to another thread, to judge by the last ones."""
        return self._is_foreseeable and self._session.is_quick(feeds, fetches)

    def close(self) -> None:
        """Gives the model's memory back; call it after the last `run` has returned."""
        self._session.close()


def _signatures(meta_graph: MetaGraphDef) -> dict[str, SignatureDef]:
    signatures = {}
    for name, signature in meta_graph.signature_def.items():
        # A copy: a part of a message keeps the whole of it in memory, here the graph too.
        signatures[name] = meta_graph_pb2.SignatureDef()
        signatures[name].CopyFrom(signature)
    return signatures


def _error(version_folder: Path, meta_graph: MetaGraphDef, signatures: Mapping[str, SignatureDef]) -> str | None:
    """Returns why a model that TensorFlow has loaded cannot be served, or None."""
    variables = version_folder / "variables" / "variables.index"
    # TensorFlow takes a model without this file for one without variables.
    if meta_graph.saver_def.restore_op_name and not variables.exists():
        return f"{variables} is missing. Export the model again."
    if not signatures:
        return f"{version_folder} has no signature to serve. Export it with at least `serving_default`."
    for name, signature in signatures.items():
        if unrestored := unrestored_variables(meta_graph, signature):
            return (f"{version_folder}: the signature '{name}' reads variables that no session can restore: "
                    f"{', '.join(unrestored)}. This is what `tf.saved_model.save` makes of a Keras network: write it with its "
                    "own `export` method.")
    return None


def _check_saved_model(version_folder: Path, *, tag: str) -> None:
    """Tells in the project's words why a model could not be loaded, as far as its file tells.

    Raises:
        ServingError: the file is broken or has no graph to serve.
    """
    file = version_folder / "saved_model.pb"
    if not file.exists():
        return
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise ServingError(f"{file} is not a SavedModel, or was cut short. Export it again.") from error
    if not any(tag in meta_graph.meta_info_def.tags for meta_graph in saved_model.meta_graphs):
        raise ServingError(f"{file} has no graph with the tag '{tag}'. Export it for serving.")
