"""Asks a SavedModel on the disk what it answers, in functions that share nothing with the model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from expman.runtimes.predictor import served_signatures
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.runtimes.session import SessionOptions

Answers = dict[str, dict[str, np.ndarray]]


def written_answers(folder: Path, sample: Mapping[str, np.ndarray]) -> Answers:
    """Loads a SavedModel and asks all its signatures: as a server does, or, where this process has a GPU, in Python.

    A second session on a GPU would have to agree with this process on its memory, and on the CPU the answers would be rounded
    otherwise than those of the model in memory.

    Arguments:
        folder: holds `saved_model.pb`.
        sample: the inputs that each signature takes, name → array.

    Returns:
        Signature → output → array.

    Raises:
        StatusError, ServingError, tf.errors.OpError: it cannot be loaded or asked.
        TypeError: an output is of a type that no answer can carry.
    """
    return _answers_in_python(folder, sample) if tf.config.get_visible_devices("GPU") else _answers_as_served(folder, sample)


def _answers_as_served(folder: Path, sample: Mapping[str, np.ndarray]) -> Answers:
    predictor = SavedModelPredictor(folder, options=SessionOptions(on_gpu=False))
    try:
        signatures = served_signatures(predictor.signatures)
        feeds = {signature.inputs[name].name: value for signature in signatures.values() for name, value in sample.items()}
        places = [(name, output) for name, signature in signatures.items() for output in signature.outputs]
        # At once: what takes time with a small model is TensorFlow's preparation of a run.
        values = predictor.run(feeds, [signatures[name].outputs[output].name for name, output in places])
    finally:
        predictor.close()
    answers: Answers = {name: {} for name in signatures}
    for (name, output), value in zip(places, values, strict=True):
        answers[name][output] = value
    return answers


def _answers_in_python(folder: Path, sample: Mapping[str, np.ndarray]) -> Answers:
    inputs = {name: tf.constant(value) for name, value in sample.items()}
    return {name: {output: tensor.numpy() for output, tensor in signature(**inputs).items()}
            for name, signature in tf.saved_model.load(str(folder)).signatures.items()}
