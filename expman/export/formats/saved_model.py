"""TensorFlow's SavedModel, which TensorFlow Serving and the embedded server load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.export.formats.export_format import Answers, ExportFormat
from expman.export.served_model import ServedModel
from expman.runtimes.predictor import served_signatures
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.runtimes.session import SessionOptions


class SavedModelFormat(ExportFormat):
    """Asks a written version as a server does, or, where this process has a GPU, in Python.

    A second session on a GPU would have to agree with this process on its memory, and on the CPU the answers would be rounded
    otherwise than those of the model in memory.
    """

    def write(self, served: ServedModel, folder: Path) -> None:
        """Writes `saved_model.pb` and the variables."""
        tf.saved_model.save(served, str(folder), signatures=served.named_signatures)

    def answer(self, folder: Path, inputs: Mapping[str, np.ndarray]) -> Answers:
        """Loads the SavedModel and asks all its signatures; see `ExportFormat.answer`."""
        return _answers_in_python(folder, inputs) if tf.config.get_visible_devices("GPU") else _answers_as_served(folder, inputs)


FORMAT = SavedModelFormat()


def _answers_as_served(folder: Path, inputs: Mapping[str, np.ndarray]) -> Answers:
    predictor = SavedModelPredictor(folder, options=SessionOptions(on_gpu=False))
    try:
        signatures = served_signatures(predictor.signatures)
        feeds = {signature.inputs[name].name: value for signature in signatures.values() for name, value in inputs.items()}
        places = [(name, output) for name, signature in signatures.items() for output in signature.outputs]
        # At once: what takes time with a small model is TensorFlow's preparation of a run.
        values = predictor.run(feeds, [signatures[name].outputs[output].name for name, output in places])
    finally:
        predictor.close()
    answers: dict[str, dict[str, np.ndarray]] = {name: {} for name in signatures}
    for (name, output), value in zip(places, values, strict=True):
        answers[name][output] = value
    return answers


def _answers_in_python(folder: Path, inputs: Mapping[str, np.ndarray]) -> Answers:
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: {output: tensor.numpy() for output, tensor in signature(**tensors).items()}
            for name, signature in tf.saved_model.load(str(folder)).signatures.items()}
