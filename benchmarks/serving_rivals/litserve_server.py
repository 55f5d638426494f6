"""The MLP in LitServe, as its documentation shows: python litserve_server.py PORT VERSION_FOLDER."""

from __future__ import annotations

import sys

import litserve
import tensorflow as tf


class SavedModel(litserve.LitAPI):
    """Answers from the SavedModel that the command line names."""

    def setup(self, device: str) -> None:
        self._model = tf.saved_model.load(sys.argv[2])
        self._signature = self._model.signatures["serving_default"]

    def decode_request(self, request: dict) -> tf.Tensor:
        return tf.constant(request["x"], tf.float32)

    def predict(self, x: tf.Tensor) -> tf.Tensor:
        return self._signature(x=x)["y"]

    def encode_response(self, output: tf.Tensor) -> dict:
        return {"y": output.numpy().tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(SavedModel(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
