"""Computes predictions with one version of a SavedModel, and says what is wrong with inputs that do not fit it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from expman.errors import ServingError
from expman.serving.faults import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

DEFAULT_SIGNATURE_NAME = "serving_default"
_SERVE_TAG = "serve"
# What TensorFlow writes ahead of a kernel's own words: it speaks of the server's graph, not of the request.
_KERNEL_MESSAGE_PREAMBLE = re.compile(r"\AGraph execution error:.*?<stack traces unavailable>\s*", re.DOTALL)


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
    """Runs the signatures of a SavedModel through `tf.saved_model.load`; safe to call from several threads.

    Arguments:
        version_folder: the folder that holds `saved_model.pb`; it must have a graph with the tag `serve`.

    Raises:
        OSError, ValueError, RuntimeError, tf.errors.OpError: TensorFlow cannot read the model.
        ServingError: the model has no graph or signature to serve.
    """

    def __init__(self, version_folder: Path) -> None:
        import tensorflow as tf

        self.signatures: dict[str, SignatureDef] = _read_signatures(version_folder)
        # The functions do not keep the model's variables and tables alive; the loaded object does.
        self._model = tf.saved_model.load(str(version_folder), tags=[_SERVE_TAG])
        self._functions = dict(self._model.signatures)
        if not self._functions:
            raise ServingError(f"{version_folder} has no signature to serve. "
                               "Export it with at least `serving_default`.")

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
        """
        import tensorflow as tf

        name = signature_name or DEFAULT_SIGNATURE_NAME
        if name not in self._functions:
            raise NotFoundError(f'Serving signature key "{name}" not found. '
                                f"Known signatures: {_listed(self._functions)}.")
        signature = self.signatures[name]
        _check_names(name, signature, inputs, output_filter)
        tensors = {key: _checked_tensor(key, array, signature.inputs[key]) for key, array in inputs.items()}
        try:
            outputs = self._functions[name](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidRequestError(_KERNEL_MESSAGE_PREAMBLE.sub("", error.message)) from error
        return {key: _as_array(tensor) for key, tensor in outputs.items() if not output_filter or key in output_filter}

    def close(self) -> None:
        """Drops the model; call it after the last `predict` has returned."""
        self._functions = {}
        self._model = None


def _read_signatures(version_folder: Path) -> dict[str, SignatureDef]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = version_folder / "saved_model.pb"
    try:
        saved_model = SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise ServingError(f"{file} is not a SavedModel, or was cut short. Export it again.") from error
    for meta_graph in saved_model.meta_graphs:
        if _SERVE_TAG in meta_graph.meta_info_def.tags:
            return dict(meta_graph.signature_def)
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


def _checked_tensor(name: str, array: np.ndarray, expected: TensorInfo) -> tf.Tensor:
    """Makes a tf.Tensor of one input.

    Raises:
        InvalidRequestError: its dtype or shape is not the signature's.
    """
    import tensorflow as tf

    dtype = tf.as_dtype(expected.dtype)
    shape = tf.TensorShape(expected.tensor_shape)
    received_dtype = tf.as_dtype(array.dtype)
    if received_dtype != dtype:
        raise InvalidRequestError(f"input '{name}' must be of dtype {dtype.name}. Got {received_dtype.name}.")
    if not shape.is_compatible_with(array.shape):
        raise InvalidRequestError(f"input '{name}' must be of shape {shape} (None: any size). "
                                  f"Got {tf.TensorShape(array.shape)}.")
    return tf.constant(array, dtype)


def _as_array(tensor: tf.Tensor) -> np.ndarray:
    # The NumPy value of a string scalar is plain `bytes`, which as an array would lose trailing zero bytes.
    return np.array(tensor.numpy(), dtype=object) if tensor.dtype == "string" else np.asarray(tensor.numpy())


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
