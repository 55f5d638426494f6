"""The embedded server as an engine."""

from __future__ import annotations

from expman.runtimes.session import SessionOptions
from expman.serving.batching.batching_parameters import read_batching_parameters
from expman.serving.embedded_process import run_embedded_server
from expman.serving.engines.service import Service
from expman.serving.models.model_config import ModelConfig
from expman.serving.server_options import ServerOptions, num_threads


def run_embedded(service: Service) -> int:
    """Serves in this process until SIGINT or SIGTERM; returns the exit code.

    Raises:
        ServingError: see `EmbeddedServer`; or the batching file is wrong.
    """
    return run_embedded_server(embedded_options(service))


def embedded_options(service: Service) -> ServerOptions:
    """Returns the options of the server which the flags of `embedded_command` describe, for one worker.

    Raises:
        ServingError: the batching file cannot be read or is wrong.
    """
    batching = None if service.batching_file is None else read_batching_parameters(service.batching_file)
    threads = num_threads(batching=batching)
    return ServerOptions(
        models=[ModelConfig(service.model_name, service.base_path.resolve())], address=service.address,
        grpc_port=service.port, rest_port=service.rest_port or None, grpc_threads=threads, rest_threads=threads,
        grpc_arguments={"grpc.max_receive_message_length": service.max_message_bytes,
                        "grpc.max_send_message_length": service.max_message_bytes},
        has_health_service=True, batching=batching,
        session=SessionOptions(on_gpu=service.on_gpu, expects_gpu=service.on_gpu,
                               gpu_memory_fraction=service.gpu_memory_fraction, intra_op_threads=service.intra_op_threads))
