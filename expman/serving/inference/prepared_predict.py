"""Predict: arrays into a signature, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expman.serving.inference.model_spec import wanted_signature
from expman.serving.inference.predict_result import PredictResult
from expman.serving.observers.observed_request import NOT_OBSERVED, Observed
from expman.wire.data_types import NUMBER_OF_NUMPY_DTYPE, data_type_name
from expman.wire.status import Code, StatusError
from expman.wire.tensor_codec import to_numpy

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    from expman.serving.models.model_store import ServedVersion

# Clients choose what they ask for; what is kept of it must not grow without end.
_MAX_PLANS = 256


@dataclass(frozen=True)
class _Plan:
    """The part that requests share which name the same signature, inputs and outputs.

    Attributes:
        signature_name, signature: of the model.
        tensor_names: alias -> tensor name, of the inputs that the requests bring.
        defaults: tensor name -> value, of those that they leave out.
        aliases: of the outputs.
        fetches: their tensors.
    """

    signature_name: str
    signature: SignatureDef
    tensor_names: Mapping[str, str]
    defaults: Mapping[str, np.ndarray]
    aliases: Sequence[str]
    fetches: Sequence[str]


class PreparedPredict:
    """A request whose arrays are decoded and fit the signature; it has yet to be run.

    Shapes and types are left to the model's own operations, which know better what they can take than the signature does; only
    when they fail, what is not as the signature declares is added to their words.

    Arguments:
        served: the version that answers, which is held until `release`.
        signature_name: '' for `serving_default`.
        inputs: alias -> value.
        output_filter: the aliases of the outputs that are wanted; all when it is empty.
        typed_fields: answer in `float_val` and its like; False for `tensor_content`.
        observed: takes notes of what goes in and comes out.

    Raises:
        StatusError: FAILED_PRECONDITION, there is no such signature; INVALID_ARGUMENT, the inputs or outputs do not fit it.
    """

    __slots__ = ("_feeds", "_observed", "_plan", "_served", "_typed_fields")

    def __init__(self, served: ServedVersion, *, signature_name: str, inputs: Mapping[str, TensorProto | np.ndarray],
                 output_filter: Sequence[str] = (), typed_fields: bool = True,
                 observed: Observed = NOT_OBSERVED) -> None:
        self._served = served
        self._observed = observed
        key = signature_name, tuple(inputs), tuple(output_filter)
        plan = served.plans.get(key)
        if plan is None:
            plan = _plan(served.predictor.signatures, *key)
            if len(served.plans) >= _MAX_PLANS:
                served.plans.clear()
            served.plans[key] = plan
        self._plan = plan
        self._feeds = {plan.tensor_names[alias]: tensor if isinstance(tensor, np.ndarray) else _decoded(alias, tensor)
                       for alias, tensor in inputs.items()}
        self._feeds.update(plan.defaults)
        self._typed_fields = typed_fields
        observed.note_inputs(self._feeds, plan.tensor_names)

    def release(self) -> None:
        """Gives the version back: once, when the request is run or given up."""
        self._served.release()

    def is_joined(self) -> bool:
        """Tells whether it waits for other requests to share a run with: `submit` it rather than `run` it."""
        # One without samples has nothing to share, and would be run by who submits it.
        return self._served.predictor.joins and all(map(np.size, self._feeds.values()))

    def is_quick(self) -> bool:
        """Tells whether its run takes no longer than handing it over to another thread would."""
        return self._served.predictor.is_quick(self._feeds, self._plan.fetches)

    def run(self, *, timeout_seconds: float | None) -> PredictResult:
        """Answers it.

        Raises:
            StatusError: what the computation reports.
        """
        try:
            return self._answer(self._served.predictor.run(self._feeds, self._plan.fetches, timeout_seconds=timeout_seconds))
        except StatusError as error:
            raise self._explained(error) from error

    def submit(self, *, timeout_seconds: float | None,
               on_done: Callable[[PredictResult | None, Exception | None], None]) -> Callable[[], bool]:
        """Answers it together with others; see `Predictor.submit`.

        Raises:
            StatusError: what is wrong is known at once.
        """
        def done(arrays: list[np.ndarray] | None, error: Exception | None) -> None:
            if isinstance(error, StatusError):
                error = self._explained(error)
            on_done(None if error is not None else self._answer(arrays), error)

        return self._served.predictor.submit(self._feeds, self._plan.fetches, timeout_seconds=timeout_seconds, on_done=done)

    def _answer(self, arrays: list[np.ndarray]) -> PredictResult:
        outputs = dict(zip(self._plan.aliases, arrays))
        self._observed.note_outputs(outputs)
        return PredictResult(self._served.name, self._served.number, self._plan.signature_name, outputs, self._typed_fields)

    def _explained(self, error: StatusError) -> StatusError:
        return StatusError(error.code, error.message + _differences(self._feeds, self._plan.signature))


def _plan(signatures: Mapping[str, SignatureDef], signature_name: str, received: Sequence[str], output_filter: Sequence[str]
          ) -> _Plan:
    name, signature = wanted_signature(signature_name, signatures, code=Code.FAILED_PRECONDITION,
                                       words='Serving signature key "{}" not found.')
    known = signature.inputs
    if len(received) > len(known) or (len(received) < len(known) and not signature.defaults):
        raise StatusError(Code.INVALID_ARGUMENT, (
            f"input size does not match signature: {len(received)}!={len(known)} len({_set(received)}) != "
            f"len({_set(known)}). Sent extra: {_set(set(received) - set(known))}. "
            f"Missing but required: {_set(set(known) - set(received))}."))
    for alias in received:
        if alias not in known:
            raise StatusError(Code.INVALID_ARGUMENT, (
                f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set {_set(known)}."))
    missing = set(known) - set(received)
    for alias in missing:
        if alias not in signature.defaults:
            raise StatusError(Code.INVALID_ARGUMENT, f"input '{alias}' is missing, and the signature has no default for it")
    aliases = _output_aliases(output_filter, signature)
    return _Plan(signature_name=name, signature=signature, tensor_names={alias: known[alias].name for alias in received},
                 defaults={known[alias].name: to_numpy(signature.defaults[alias]) for alias in missing},
                 aliases=aliases, fetches=[signature.outputs[alias].name for alias in aliases])


def _output_aliases(output_filter: Sequence[str], signature: SignatureDef) -> list[str]:
    outputs = signature.outputs
    if not output_filter:
        return list(outputs)
    aliases: list[str] = []
    for alias in output_filter:
        if alias not in outputs:
            raise StatusError(Code.INVALID_ARGUMENT, (
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {_set(outputs)}."))
        if alias in aliases:
            raise StatusError(Code.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases


def _differences(feeds: Mapping[str, np.ndarray], signature: SignatureDef) -> str:
    """Where the inputs of a request that failed are not as the signature declares them; '' where they are."""
    differences = []
    for alias, info in signature.inputs.items():
        array, shape = feeds[info.name], info.tensor_shape
        sizes = [dimension.size for dimension in shape.dim]
        has_fitting_shape = shape.unknown_rank or (len(sizes) == array.ndim and all(
            declared in (-1, size) for declared, size in zip(sizes, array.shape)))
        if NUMBER_OF_NUMPY_DTYPE[array.dtype] != info.dtype or not has_fitting_shape:
            differences.append(f"input '{alias}' must be {data_type_name(info.dtype)} of shape {sizes} (-1: any size). Got "
                               f"{data_type_name(NUMBER_OF_NUMPY_DTYPE[array.dtype])} of shape {list(array.shape)}.")
    return "".join(f"\n{difference}" for difference in differences)


def _decoded(alias: str, tensor: TensorProto) -> np.ndarray:
    try:
        return to_numpy(tensor, writable=False)
    except ValueError as error:
        raise StatusError(Code.INVALID_ARGUMENT, f"tensor parsing error: {alias} ({error})") from error


def _set(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
