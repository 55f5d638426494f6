"""The model as it is served: raw inputs to final outputs, with one named signature for each head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"


class ServedModel(tf.Module):
    """A module whose signatures a model server offers.

    Arguments:
        answer: takes the inputs as a dict name → tensor and returns the outputs as a dict name → tensor; traced once, so
            that it must read the weights from variables.
        inputs_spec: name → `tf.TensorSpec` of each input, batch dimension first.
        resources: trackable objects that `answer` uses and that are no weights, such as lookup tables.

    Attributes:
        inputs_spec: name → `tf.TensorSpec` of each input, as given.
        heads: the names of the outputs.
        named_signatures: name → concrete function; `serving_default` has all outputs, and each output has one named after it.
            An output that is itself named `serving_default` has none of its own: it is among those of that signature.
    """

    def __init__(self, *, answer: Callable[[dict[str, tf.Tensor]], Mapping[str, tf.Tensor]],
                 inputs_spec: Mapping[str, tf.TensorSpec], resources: Iterable[Any] = ()) -> None:
        super().__init__(name="served_model")
        self.inputs_spec = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs_spec.items()}
        default = self._signature(answer)
        self.heads = tuple(default.structured_outputs)
        # The heads call the default signature, so that the network is traced, and written, once.
        heads = {head: self._head_signature(head, default=default) for head in self.heads if head != DEFAULT_SIGNATURE}
        # Not a dict, whose functions TensorFlow would write beside the signatures.
        self.named_signatures = MappingProxyType({DEFAULT_SIGNATURE: default, **heads})
        self.used_variables = list(default.variables)
        self.used_resources = list(resources)

    @property
    def takes_any_batch_size(self) -> bool:
        """True when no input prescribes how many samples a batch has."""
        return all(spec.shape.rank and spec.shape[0] is None for spec in self.inputs_spec.values())

    @property
    def outputs_of_signatures(self) -> dict[str, tuple[str, ...]]:
        """The names of the outputs of each signature."""
        return {name: self.heads if name == DEFAULT_SIGNATURE else (name,) for name in self.named_signatures}

    def answers(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the answer of the model in memory to a sample: output → array."""
        outputs = self.named_signatures[DEFAULT_SIGNATURE](**{
            name: tf.constant(value, self.inputs_spec[name].dtype) for name, value in sample.items()})
        return {name: np.asarray(tensor.numpy(), tensor.dtype.as_numpy_dtype) for name, tensor in outputs.items()}

    def _head_signature(self, head: str, *, default: Callable[..., Mapping[str, tf.Tensor]]) -> Any:
        return self._signature(lambda inputs: {head: default(**inputs)[head]})

    def _signature(self, function: Callable[[dict[str, tf.Tensor]], Mapping[str, tf.Tensor]]) -> Any:
        @tf.function(autograph=False)
        def signature(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {name: tf.identity(tensor, name=name) for name, tensor in function(inputs).items()}

        return signature.get_concrete_function(**self.inputs_spec)
