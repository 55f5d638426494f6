"""Serves the exported model and sends it one request through the user's Client_IO."""

from __future__ import annotations

from expman.client.model_client import run_experiment_client
from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.server_process import served_in_a_process
from expman.errors import CheckError


def check_serving(run: DryRun) -> Finding:
    """Requires that `Client_IO` gives a first sample, that the server answers it, and that `Client_IO` takes the answer."""
    settings = run.patched_settings
    model_name, base_path = run.folder.exported_model()
    with served_in_a_process(base_path=base_path, model_name=model_name, address=settings.tensorflow_server_address,
                             port=settings.tensorflow_server_port, on_gpu=settings.serve_on_gpu,
                             max_message_bytes=settings.grpc_max_message_length,
                             wait_seconds=settings.wait_for_server_ready_int_secs) as port:
        latencies = run_experiment_client(settings, model_dir=run.folder.path, model_name=model_name, port=port,
                                          num_requests=1, debug=False)
    if not latencies.num_requests:
        raise CheckError(f"{settings.place_of('Client_IO')}: Client_IO.getInputData(1) raised StopIteration, so that "
                         "nothing was asked. Return a first sample for index 1.")
    return Finding(f"port {port}, answer in {latencies.p50_milliseconds:.1f} ms")
