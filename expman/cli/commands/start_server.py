"""`--start_server --model_dir FOLDER`: serves the newest exported version of an experiment."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from expman.cli.command import Command, Flag
from expman.cli.flags import MODEL_DIR, PORT, fraction, port, positive

_ENGINES = ("auto", "tensorflow_model_server", "docker", "apptainer", "embedded")


def start_server(model_dir: str, *, engine: str, port: int | None = None, rest_port: int | None = None,
                 batching: str | os.PathLike[str] | None = None, num_workers: int = 1,
                 gpu_memory_fraction: float = 0.0) -> int:
    """Serves the newest exported version of an experiment until it is stopped; new versions are picked up.

    Arguments:
        model_dir: the experiment's folder.
        engine: 'auto', 'tensorflow_model_server', 'docker', 'apptainer' or 'embedded'.
        port, rest_port: replace `tensorflow_server_port` and `tensorflow_server_rest_port`.
        batching: a file of batching parameters: join requests that arrive together; '' for the parameters that come with
            the project; None: run each by itself.
        num_workers: processes of the embedded server.
        gpu_memory_fraction: of each GPU's memory; 0: the engine's own choice.

    Returns:
        The server's exit code.

    Raises:
        ExperimentError: the folder holds no exported model, the file of batching parameters does not exist, or the server
            cannot be started.
    """
    from expman.errors import UsageError
    from expman.records.experiment_folder import ExperimentFolder
    from expman.records.running_servers import announced
    from expman.serving.engines.serve import serve
    from expman.serving.engines.service import DEFAULT_BATCHING_FILE, Service
    folder = ExperimentFolder.open(model_dir)
    settings = folder.read_identity()["settings"]
    name, base_path = folder.exported_model()
    if batching and not Path(batching).is_file():
        raise UsageError(f"--batching: there is no file {batching}. Give a file of BatchingParameters, or no file.")
    return serve(Service(
        base_path=base_path, model_name=name, address=settings["tensorflow_server_address"],
        port=settings["tensorflow_server_port"] if port is None else port,
        rest_port=settings["tensorflow_server_rest_port"] if rest_port is None else rest_port,
        on_gpu=settings["serve_on_gpu"], gpu_memory_fraction=gpu_memory_fraction,
        max_message_bytes=settings["grpc_max_message_length"], num_workers=num_workers,
        batching_file=None if batching is None else Path(batching or DEFAULT_BATCHING_FILE).resolve()), engine=engine,
        announce=lambda service: announced(folder.servers, port=service.port, rest_port=service.rest_port))


def run(options: Namespace) -> int:
    """Returns the server's exit code."""
    return start_server(options.model_dir, engine=options.serving_engine, port=options.port, rest_port=options.rest_port,
                        batching=options.batching, num_workers=options.embedded_workers,
                        gpu_memory_fraction=options.gpu_memory_fraction)


COMMAND = Command(
    Flag("start_server", "serve the model of --model_dir until Ctrl-C", parsing={"action": "store_true"}),
    run, position=50, synopsis="--start_server --model_dir FOLDER", summary="serve the newest exported version",
    required=[MODEL_DIR],
    optional=[
        Flag("serving_engine", "auto: tensorflow_model_server if installed, else the embedded server",
             because="it names the server", default="auto", parsing={"choices": _ENGINES}),
        PORT,
        Flag("rest_port", "REST port, instead of tensorflow_server_rest_port; 0: none",
             because="it is where the server offers REST", parsing={"metavar": "N", "type": port}),
        Flag("batching", "join requests that arrive together into one run of the model; FILE: BatchingParameters of TensorFlow "
             "Serving, as text", because="it joins the requests to the server",
             parsing={"metavar": "FILE", "nargs": "?", "const": ""}),
        Flag("embedded_workers", "processes of the embedded server that share the ports",
             because="it says how many server processes to start", default=1, parsing={"metavar": "N", "type": positive}),
        Flag("gpu_memory_fraction", "of each GPU's memory, from 0 to 1; otherwise the engine's own choice",
             because="it limits the server", default=0.0, parsing={"metavar": "F", "type": fraction})])
