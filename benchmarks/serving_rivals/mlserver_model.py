"""The MLP in MLServer: a runtime of one's own, as its documentation shows for models without a ready-made one."""

from __future__ import annotations

import tensorflow as tf
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class SavedModel(MLModel):
    """Answers from the SavedModel at the `uri` of its settings."""

    async def load(self) -> bool:
        self._model = tf.saved_model.load(self.settings.parameters.uri)
        self._signature = self._model.signatures["serving_default"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        y = self._signature(x=tf.constant(x))["y"].numpy()
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
