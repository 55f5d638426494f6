"""The measure `rivals` of `serving_speed.py`: other servers with the same SavedModel, as their documentations show it."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from serving_speed_rounds import Setup, interleaved, print_bar, ratios, requests_per_second
from serving_speed_servers import FOLDER, Server, free_port, own_rest_server, own_server, server_process

_FILES = FOLDER / "serving_rivals"
_START_SECONDS = 120


def measure_rivals(setup: Setup) -> None:
    """Requests per second over gRPC and REST beside those of each rival, and beside the best of them."""
    if setup.rivals is None:
        print("  left out: give --rivals FOLDER, where their environments can be made")
        return
    with ExitStack() as undo:
        rivals: dict[str, Server] = {}
        for name, start in _RIVALS.items():
            if fault := _installed(name, setup.rivals / name):
                print(f"  {name} cannot be installed here: {fault}")
                continue
            rivals |= undo.enter_context(start(setup.rivals / name / "bin", setup.models))
        servers = {"own, gRPC": undo.enter_context(own_server(setup.models, "mlp")),
                   "own, REST": undo.enter_context(own_rest_server(setup.models, "mlp"))}
        samples = interleaved({**rivals, **servers}, setup, connections=8)
    if not rivals:
        return
    best = max(rivals, key=lambda name: statistics.median(map(requests_per_second, samples[name])))
    for name in servers:
        for rival in rivals:
            values = ratios(samples[name], samples[rival], requests_per_second)
            if rival == best:
                print_bar(f"requests/s, {name} / {rival}, the best rival", values, at_least=3)
            else:
                print(f"     requests/s, {name} / {rival}: {statistics.median(values):.3g}")


def _installed(name: str, folder: Path) -> str:
    """Makes or completes an environment; returns why that is not possible, '' when it is."""
    try:
        if not (folder / "bin" / "pip").exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, text=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement",
                        FOLDER / f"requirements-serving-rivals-{name}.txt"], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip() or f"exit code {error.returncode}").splitlines()[-1]
    return ""


@contextmanager
def _mlserver(programs: Path, models: Path) -> Iterator[dict[str, Server]]:
    http_port, grpc_port, metrics_port = free_port(), free_port(), free_port()
    values = json.loads((models / "mlp.json").read_text("utf-8"))["instances"]
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(values[0])], "data": values[0]}]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "settings.json").write_text(json.dumps({
            "host": "127.0.0.1", "http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port,
            "debug": False}), encoding="utf-8")
        (folder / "model-settings.json").write_text(json.dumps({
            "name": "m", "implementation": "mlserver_model.SavedModel",
            "parameters": {"uri": str(models / "mlp" / "1")}}), encoding="utf-8")
        (folder / "mlserver_model.py").write_text((_FILES / "mlserver_model.py").read_text("utf-8"), encoding="utf-8")
        http_request, grpc_request = folder / "request.json", folder / "request"
        http_request.write_text(json.dumps(body), encoding="utf-8")
        grpc_request.write_bytes(subprocess.run([programs / "python", _FILES / "mlserver_request.py"], check=True,
                                                input=http_request.read_bytes(), stdout=subprocess.PIPE).stdout)
        with server_process([programs / "mlserver", "start", folder], ready="", environment=_environment(models)) as process:
            rest = Server(process=process, port=http_port, request=http_request, http_path="/v2/models/m/infer")
            _wait_until_it_answers(rest)
            yield {"MLServer, REST": rest,
                   "MLServer, gRPC": Server(process=process, port=grpc_port, request=grpc_request,
                                            grpc_method="/inference.GRPCInferenceService/ModelInfer")}


@contextmanager
def _bentoml(programs: Path, models: Path) -> Iterator[dict[str, Server]]:
    port = free_port()
    command = [programs / "bentoml", "serve", "bentoml_service:SavedModel", "--working-dir", _FILES, "--host", "127.0.0.1",
               "--port", str(port)]
    with server_process(command, ready="", environment=_environment(models)) as process, _body(models) as request:
        server = Server(process=process, port=port, request=request, http_path="/predict")
        _wait_until_it_answers(server)
        yield {"BentoML, REST": server}


@contextmanager
def _litserve(programs: Path, models: Path) -> Iterator[dict[str, Server]]:
    port = free_port()
    command = [programs / "python", _FILES / "litserve_server.py", str(port), models / "mlp" / "1"]
    with server_process(command, ready="", environment=_environment(models)) as process, _body(models) as request:
        server = Server(process=process, port=port, request=request, http_path="/predict")
        _wait_until_it_answers(server)
        yield {"LitServe, REST": server}


_RIVALS: dict[str, Callable[[Path, Path], AbstractContextManager[dict[str, Server]]]] = {
    "mlserver": _mlserver, "bentoml": _bentoml, "litserve": _litserve}


def _environment(models: Path) -> dict[str, str]:
    return {"PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", "SAVED_MODEL": str(models / "mlp" / "1"),
            "BENTOML_DO_NOT_TRACK": "True"}


@contextmanager
def _body(models: Path) -> Iterator[Path]:
    """A file with the request as a JSON object."""
    values = json.loads((models / "mlp.json").read_text("utf-8"))["instances"]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"x": values}, file)
        file.flush()
        yield Path(file.name)


def _wait_until_it_answers(server: Server) -> None:
    """Waits for a good answer.

    Raises:
        RuntimeError: there is none in good time.
    """
    end = time.monotonic() + _START_SECONDS
    fault = ""
    while time.monotonic() < end and server.process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        try:
            connection.request("POST", server.http_path, server.request.read_bytes(), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status == 200:
                return
            fault = f"{response.status} {answer[:300]!r}"
        except OSError as error:
            fault = str(error)
        finally:
            connection.close()
        time.sleep(0.2)
    raise RuntimeError(f"{server.process.args} does not answer: {fault}")
