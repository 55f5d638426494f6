"""Computes predictions with one version of a SavedModel, and says what is wrong with inputs that do not fit it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from google.protobuf.message import DecodeError

from expman.errors import ServingError
from expman.serving.data_types import NUMBER_OF_NUMPY_DTYPE, data_type_name
from expman.serving.faults import InvalidRequestError, NotFoundError
from expman.serving.protos import meta_graph_pb2, saved_model_pb2
from expman.serving.saved_model_session import open_saved_model
from expman.serving.tensorflow_error import INVALID_ARGUMENT_CODE, TensorFlowError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef, TensorInfo

_LOGGER = logging.getLogger(__name__)

DEFAULT_SIGNATURE_NAME = "serving_default"
_SERVE_TAG = "serve"
_PREFIX_OF_TENSORFLOW = "__saved_model"  # Signatures for the loading of the model, not for requests.


class Predictor(Protocol):
    """One loaded version of a model, whatever executes it."""

    @property
    def signatures(self) -> Mapping[str, SignatureDef]:
        """The model's signatures as its export describes them."""

    def predict(self, *, signature_name: str, inputs: Mapping[str, np.ndarray],
                output_filter: Collection[str] = ()) -> dict[str, np.ndarray]:
        """Runs one signature on one request's inputs; see `SavedModelPredictor.predict`."""

    def close(self) -> None:
        """Gives the model's memory back."""


class SavedModelPredictor:
    """Runs the signatures of a SavedModel; safe to call from several threads.

    Arguments:
        version_folder: the folder that holds `saved_model.pb`; it must have a graph with the tag `serve`.
        on_gpu: False keeps to the CPU.

    Raises:
        TensorFlowError: TensorFlow cannot read the model.
        ServingError: the model has no graph or signature to serve, or lacks a file.
    """

    def __init__(self, version_folder: Path, *, on_gpu: bool = False) -> None:
        try:
            self._session = open_saved_model(version_folder, tag=_SERVE_TAG, on_gpu=on_gpu)
        except TensorFlowError:
            _check_saved_model(version_folder)
            raise
        meta_graph = meta_graph_pb2.MetaGraphDef.FromString(self._session.meta_graph)
        self._session.meta_graph = b""
        self.signatures: dict[str, SignatureDef] = _signatures(meta_graph)
        self._served_signatures = {name: signature for name, signature in self.signatures.items()
                                   if not name.startswith(_PREFIX_OF_TENSORFLOW)}
        if fault := _fault(version_folder, meta_graph, self._served_signatures):
            self.close()
            raise ServingError(fault)
        if on_gpu and "GPU" not in self._session.device_types():
            _LOGGER.warning("serve_on_gpu is set, but TensorFlow finds no GPU here: serving on the CPU")

    def predict(self, *, signature_name: str, inputs: Mapping[str, np.ndarray],
                output_filter: Collection[str] = ()) -> dict[str, np.ndarray]:
        """Runs one signature.

        Arguments:
            signature_name: '' for `serving_default`.
            inputs: each input of the signature; strings as `bytes` in arrays of dtype object.
            output_filter: the outputs to return; empty for all.

        Returns:
            dict output name -> array of the dtype and shape that the signature declares.

        Raises:
            NotFoundError: the model has no such signature.
            InvalidRequestError: an input is missing, unknown, or of another dtype or shape than the signature's; an
                output in the filter is unknown; or the model's computation refused the values.
            TensorFlowError: the computation failed for another reason.
        """
        name = signature_name or DEFAULT_SIGNATURE_NAME
        if name not in self._served_signatures:
            raise NotFoundError(f'Serving signature key "{name}" not found. '
                                f"Known signatures: {_listed(self._served_signatures)}.")
        signature = self._served_signatures[name]
        _check_names(name, signature, inputs, output_filter)
        for key, array in inputs.items():
            _check_value(key, array, signature.inputs[key])
        wanted = [key for key in signature.outputs if not output_filter or key in output_filter]
        try:
            values = self._session.run({signature.inputs[key].name: array for key, array in inputs.items()},
                                       [signature.outputs[key].name for key in wanted])
        except TensorFlowError as error:
            if error.code == INVALID_ARGUMENT_CODE:
                raise InvalidRequestError(error.message) from error
            raise
        return dict(zip(wanted, values))

    def close(self) -> None:
        """Gives the model's memory back; call it after the last `predict` has returned."""
        self._session.close()


def _signatures(meta_graph: MetaGraphDef) -> dict[str, SignatureDef]:
    signatures = {}
    for name, signature in meta_graph.signature_def.items():
        # A copy: a part of a message keeps the whole of it in memory, here the graph too.
        signatures[name] = meta_graph_pb2.SignatureDef()
        signatures[name].CopyFrom(signature)
    return signatures


def _fault(version_folder: Path, meta_graph: MetaGraphDef, served_signatures: Collection[str]) -> str | None:
    """Why a model that TensorFlow has loaded cannot be served, or None."""
    variables = version_folder / "variables" / "variables.index"
    # TensorFlow takes a model without this file for one without variables.
    if meta_graph.saver_def.restore_op_name and not variables.exists():
        return f"{variables} is missing. Export the model again."
    if not served_signatures:
        return f"{version_folder} has no signature to serve. Export it with at least `serving_default`."
    return None


def _check_saved_model(version_folder: Path) -> None:
    """Says in the project's words why a model could not be loaded, as far as its file tells.

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
    if not any(_SERVE_TAG in meta_graph.meta_info_def.tags for meta_graph in saved_model.meta_graphs):
        raise ServingError(f"{file} has no graph with the tag '{_SERVE_TAG}'. Export it for serving.")


def _check_names(signature_name: str, signature: SignatureDef, inputs: Collection[str],
                 output_filter: Collection[str]) -> None:
    faults = []
    if missing := set(signature.inputs) - set(inputs):
        faults.append(f"missing input {_listed(missing)}")
    if unknown := set(inputs) - set(signature.inputs):
        faults.append(f"unknown input {_listed(unknown)}")
    if unknown_outputs := set(output_filter) - set(signature.outputs):
        faults.append(f"unknown output {_listed(unknown_outputs)} in the output filter")
    if faults:
        raise InvalidRequestError(
            f"{' and '.join(faults)}. Signature '{signature_name}' has the inputs {_listed(signature.inputs)} "
            f"and the outputs {_listed(signature.outputs)}.")


def _check_value(name: str, array: np.ndarray, expected: TensorInfo) -> None:
    """Compares one input with the signature.

    Raises:
        InvalidRequestError: its dtype or shape is another.
    """
    received_number = NUMBER_OF_NUMPY_DTYPE[array.dtype]
    if received_number != expected.dtype:
        raise InvalidRequestError(f"input '{name}' must be of dtype {data_type_name(expected.dtype)}. "
                                  f"Got {data_type_name(received_number)}.")
    if expected.tensor_shape.unknown_rank:
        return
    sizes = tuple(None if dimension.size < 0 else dimension.size for dimension in expected.tensor_shape.dim)
    if len(sizes) != array.ndim or any(size not in (None, received) for size, received in zip(sizes, array.shape)):
        raise InvalidRequestError(f"input '{name}' must be of shape {sizes} (None: any size). Got {array.shape}.")


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
