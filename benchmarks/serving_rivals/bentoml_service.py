"""The MLP in BentoML: a service with one API, as its documentation shows."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import tensorflow as tf


@bentoml.service
class SavedModel:
    """Answers from the SavedModel that the environment names."""

    def __init__(self) -> None:
        self._model = tf.saved_model.load(os.environ["SAVED_MODEL"])
        self._signature = self._model.signatures["serving_default"]

    @bentoml.api
    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._signature(x=tf.constant(x, tf.float32))["y"].numpy()
