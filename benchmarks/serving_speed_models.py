"""Exports the models that the serving benchmarks serve, and the requests that they send.

    python benchmarks/serving_speed_models.py FOLDER

FOLDER/<name>/1 is the SavedModel, `<name>.request` a serialized PredictRequest for the model `m`, `<name>.answer` an answer to
it, `mlp.json` the body of the same request over REST.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.runtimes.tensorflow_notices import start_tensorflow  # noqa: E402

start_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from expman.export.publisher import publish  # noqa: E402
from expman.export.served_model import ServedModel  # noqa: E402
from expman.wire.protos import predict_pb2  # noqa: E402
from expman.wire.tensor_codec import to_tensor_proto  # noqa: E402

NUM_FLOATS_OF_A_MEGABYTE = 2**18
# Name -> network and the shape of a sample.
NETWORKS = {
    "mlp": (lambda: keras.Sequential([
        keras.Input([64]), keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]), [64]),
    "cnn": (lambda: keras.Sequential([
        keras.Input([32, 32, 3]), keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"), keras.layers.MaxPooling2D(4), keras.layers.Flatten(),
        keras.layers.Dense(10, "softmax")]), [32, 32, 3]),
    "mobilenet": (lambda: keras.applications.MobileNetV2(
        input_shape=[32, 32, 3], alpha=0.35, weights=None, classes=10), [32, 32, 3]),
    "megabyte": (lambda: lambda x: x + 1.0, [NUM_FLOATS_OF_A_MEGABYTE]),
    "large": (lambda: keras.applications.ResNet50(weights=None), [224, 224, 3]),
}


def main() -> None:
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(0)
    for name, (make_network, shape) in NETWORKS.items():
        export(folder, name, network=make_network(), shape=shape)


def export(folder: Path, name: str, *, network: keras.Model, shape: list[int]) -> None:
    """Writes one model, a request of one sample for it, and its answer."""
    served = ServedModel(answer=lambda inputs: {"y": network(inputs["x"])},
                         inputs_spec={"x": tf.TensorSpec([None, *shape], tf.float32)})
    sample = np.random.default_rng(0).uniform(size=[1, *shape]).astype(np.float32)
    publish(served, base_path=folder / name, sample={"x": sample}, keep_versions=1)
    request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    request.model_spec.name = response.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(sample))
    response.model_spec.signature_name = "serving_default"
    response.model_spec.version.value = 1
    response.outputs["y"].CopyFrom(to_tensor_proto(served.answers({"x": sample})["y"]))
    (folder / f"{name}.request").write_bytes(request.SerializeToString())
    (folder / f"{name}.answer").write_bytes(response.SerializeToString())
    if name == "mlp":
        (folder / "mlp.json").write_text(json.dumps({"instances": sample.tolist()}), encoding="utf-8")


if __name__ == "__main__":
    main()
