"""`--predict --model_dir FOLDER`: queries the server of an experiment through the user's `Client_IO`."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag
from expman.cli.flags import MODEL_DIR, PORT


def predict(model_dir: str, *, num_requests: int, port: int | None = None, debug: bool = False) -> None:
    """Drives the experiment's `Client_IO` against a running server.

    Arguments:
        model_dir: the experiment's folder.
        num_requests: samples to send; negative: until `getInputData` raises StopIteration.
        port: where the server is; None: where the newest one of the experiment runs, else `tensorflow_server_port`.
        debug: passed to `Client_IO` as `debugMode`.

    Raises:
        ExperimentError: the folder holds no exported model, or the server cannot be reached or refuses a request.
    """
    from expman.experiment_run import load_experiment
    from expman.records.experiment_folder import ExperimentFolder
    from expman.records.running_servers import server_port
    folder = ExperimentFolder.open(model_dir)
    name, _ = folder.exported_model()
    settings = load_experiment(folder)
    from expman.client.model_client import run_experiment_client
    run_experiment_client(settings, model_dir=folder.path, model_name=name,
                          port=server_port(folder, otherwise=settings.tensorflow_server_port) if port is None else port,
                          num_requests=num_requests, debug=debug)


def run(options: Namespace) -> int:
    """Sends the samples."""
    predict(options.model_dir, num_requests=options.predict_stream, port=options.port, debug=options.debug)
    return 0


COMMAND = Command(
    Flag("predict", "send samples to the server of --model_dir", parsing={"action": "store_true"}),
    run, position=60, synopsis="--predict --model_dir FOLDER", summary="query the server through Client_IO",
    required=[MODEL_DIR],
    optional=[PORT, Flag("predict_stream", "number of samples; negative: until Client_IO raises StopIteration",
                         because="it is the number of samples to send", default=1, parsing={"metavar": "N", "type": int})])
