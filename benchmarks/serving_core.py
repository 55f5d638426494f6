"""What the embedded server gains by running models through TensorFlow's C library instead of its Python package.

    python benchmarks/serving_core.py

Starts the embedded server on the same small network with one execution core after the other, in turn, and prints the medians
and their ratios: seconds from the start of the process to the first answer, resident memory after the requests, and the time
of a call, inside the server's process and over gRPC on one connection.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.wire.protos import predict_pb2  # noqa: E402
from expman.wire.service_stubs import prediction_service_pb2_grpc  # noqa: E402
from expman.wire.tensor_codec import to_tensor_proto  # noqa: E402

REPEATS = 5
REQUESTS = 2000
C_LIBRARY = "C library"
CORES = (C_LIBRARY, "v1 session", "tf.saved_model.load")
MEASURES = {"start": ("start to first answer", "s"), "memory": ("resident memory", "MB"),
            "call": ("call inside the server, p50", "µs"), "grpc": ("request over gRPC, p50", "µs")}

SAVE_MODEL = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import keras, numpy as np, tensorflow as tf
from expman.export.publisher import publish
from expman.export.served_model import ServedModel
network = keras.Sequential([keras.Input([64]), keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")])
served = ServedModel(answer=lambda inputs: {"y": network(inputs["x"])},
                     inputs_spec={"x": tf.TensorSpec([None, 64], tf.float32)})
publish(served, base_path=pathlib.Path(sys.argv[2]), sample={"x": np.ones((1, 64), np.float32)}, keep_versions=1)
"""

SERVE = """
import json, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
core, folder, requests = sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4])
import numpy as np
from expman.serving import embedded_server
from expman.serving.models.model_config import ModelConfig
from expman.serving.server_options import ServerOptions
if core == "tf.saved_model.load":
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from expman.runtimes import predictor

    class Predictor(predictor.Predictor):
        def __init__(self, version_folder, **_):
            self.model = tf.saved_model.load(str(version_folder))
            meta_graph = SavedModel.FromString((version_folder / "saved_model.pb").read_bytes()).meta_graphs[0]
            self.signatures = dict(meta_graph.signature_def)

        def run(self, feeds, fetches, *, timeout_seconds=None):
            x, = feeds.values()
            return [self.model.signatures["serving_default"](x=tf.constant(x))["y"].numpy()]

        def close(self):
            self.model = None

    embedded_server.SavedModelPredictor = Predictor
elif core == "v1 session":
    from expman.runtimes import session as saved_model_session
    from expman.runtimes.tensorflow_v1_session import V1Session
    saved_model_session.session_type = lambda: V1Session
server = embedded_server.EmbeddedServer(ServerOptions(
    models=[ModelConfig(name="m", base_path=folder)], address="127.0.0.1", grpc_port=0))
print(server.start().grpc_port, flush=True)
try:
    sys.stdin.readline()
    memory = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
    predictor = embedded_server.SavedModelPredictor(folder / "1")
    signature = predictor.signatures["serving_default"]
    feeds, fetches = {signature.inputs["x"].name: np.ones((1, 64), np.float32)}, [signature.outputs["y"].name]
    seconds = []
    for _ in range(requests):
        begin = time.perf_counter()
        predictor.run(feeds, fetches, timeout_seconds=60)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"call": float(np.median(seconds)) * 1e6, "memory": memory / 1024}), flush=True)
finally:
    server.stop()
"""


def measure(core: str, base_path: Path) -> dict[str, float]:
    """Starts a server, asks it, and stops it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(to_tensor_proto(np.ones((1, 64), np.float32)))
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", SERVE, str(ROOT), core, str(base_path), str(REQUESTS)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        with grpc.insecure_channel(f"127.0.0.1:{int(server.stdout.readline())}",
                                   options=[("grpc.enable_http_proxy", 0)]) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            predict(request, timeout=60)
            start_seconds = time.perf_counter() - begin
            seconds = []
            for _ in range(REQUESTS):
                sent = time.perf_counter()
                predict(request, timeout=60)
                seconds.append(time.perf_counter() - sent)
        server.stdin.write("\n")
        server.stdin.flush()
        inside = json.loads(server.stdout.readline())
    return {"start": start_seconds, "grpc": statistics.median(seconds) * 1e6, **inside}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base_path = Path(folder)
        subprocess.run([sys.executable, "-c", SAVE_MODEL, str(ROOT), folder], check=True, stderr=subprocess.DEVNULL)
        rows = [{core: measure(core, base_path) for core in CORES} for _ in range(REPEATS)]
    for key, (title, unit) in MEASURES.items():
        print(title)
        for core in CORES:
            line = f"  {core:20s} {statistics.median(row[core][key] for row in rows):8.2f} {unit}"
            if core != C_LIBRARY:
                ratios = [row[core][key] / row[C_LIBRARY][key] for row in rows]
                line += (f"   {statistics.median(ratios):5.2f} times that of the C library ({min(ratios):.2f} to "
                         f"{max(ratios):.2f})")
            print(line)


if __name__ == "__main__":
    main()
