"""The parts of a signature that Classify and Regress need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ExampleSignature:
    """A signature that takes serialized tf.Examples.

    Attributes:
        input_tensor: takes them.
        outputs: alias -> name of the tensor.
    """

    input_tensor: str
    outputs: Mapping[str, str]


def shape_text(array: np.ndarray) -> str:
    """A shape as TensorFlow writes it: `[2,3]`."""
    return f"[{','.join(map(str, array.shape))}]"
