"""Training, serving and querying as three processes, at the same time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

from expman.records.experiment_folder import exported_versions
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment
from tests.support.training_runs import SLOW, start, wait_for_epoch


def start_server(folder: Path, *flags: str) -> tuple[subprocess.Popen, int]:
    """Starts the embedded server on a free port; returns its process and its port."""
    server = subprocess.Popen([sys.executable, str(ROOT / "experiments_manager.py"), "--start_server", "--model_dir", str(folder),
                               "--serving_engine", "embedded", "--port", "0", *flags], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    command, ready = server.stdout.readline(), server.stdout.readline()
    assert "-m expman.serving --model_name=line" in command
    assert ready.startswith("serving 'line' version"), server.communicate()
    return server, int(ready.partition("127.0.0.1:")[2].split()[0])


def stop(server: subprocess.Popen) -> None:
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors


@pytest.fixture(scope="module")
def server(trained):
    process, port = start_server(Path(trained["sessionFolder"]))
    yield port
    stop(process)


def predict(script, trained, port: int, *arguments: str):
    return script("--predict", "--model_dir", trained["sessionFolder"], "--port", port, *arguments)


def test_the_served_answers_are_those_of_the_exported_model(cold_script, trained, server):
    import tensorflow as tf
    answer = predict(cold_script, trained, server, "--predict_stream", "-1")
    assert answer.returncode == 0, answer.stderr
    signature = tf.saved_model.load(trained["last_exported_model"]).signatures["prediction"]
    expected = [float(signature(x=tf.fill([1, 3], float(number)))["prediction"][0, 0]) for number in (1, 2, 3)]
    line = next(line for line in answer.stdout.splitlines() if line.startswith("answers"))
    np.testing.assert_allclose(json.loads(line.removeprefix("answers ")), expected, atol=1e-3)
    assert "3 requests, latency p50" in answer.stdout


def test_one_request_is_the_default(script, trained, server):
    answer = predict(script, trained, server)
    assert answer.returncode == 0 and "1 request, latency p50" in answer.stdout


def test_new_versions_are_served_while_training_goes_on(tmp_path):
    """Starts the server after the first export, asks all the time, and sees a newer version without a failed request."""
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    training = start(write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 1000\nexport_policy = 'latest'"), SLOW))
    folder = wait_for_epoch(tmp_path / "experiments", 1, training)
    server, port = start_server(folder)
    versions, failures, enough = [], [], threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "line"
            request.inputs["x"].dtype = 1
            request.inputs["x"].float_val.extend([1.0, 2.0, 3.0])
            for size in (1, 3):
                request.inputs["x"].tensor_shape.dim.add(size=size)
            while not enough.is_set():
                try:
                    versions.append(stub.Predict(request, timeout=20).model_spec.version.value)
                except grpc.RpcError as error:
                    failures.append(error)
                if len(set(versions)) >= 3:
                    enough.set()

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(timeout=120)
    enough.set()
    asking.join()
    training.send_signal(signal.SIGTERM)
    training.communicate(timeout=60)
    stop(server)
    assert not failures
    assert len(set(versions)) >= 3 and versions == sorted(versions)
    assert training.returncode == 143
    assert exported_versions(folder / "export" / "line")[-1] >= versions[-1]
