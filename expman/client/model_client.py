"""Waits for a model server, asks it what the user's Client_IO provides, and measures how long the answers take."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from expman.client.client_io import ClientIO, check_client_io, opened_client_io
from expman.errors import ClientError, UserCodeError
from expman.records.running_servers import start_command
from expman.serving.endpoint import endpoint
from expman.wire import tensor_codec

if TYPE_CHECKING:
    from pathlib import Path

    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    from expman.settings.loading import Settings

_LOGGER = logging.getLogger(__name__)

to_numpy = tensor_codec.to_numpy  # offered to authors of Client_IO: much faster on answers than tf.make_ndarray

_STATUS_POLL_SECONDS = 0.2
_SILENT_SECONDS = 1.0  # a wait that is no longer is not told
_SHORTEST_STATUS_TIMEOUT_SECONDS = 1.0
_ALL_OUTPUTS = "serving_default"
_AVAILABLE = 30  # ModelVersionStatus.State.AVAILABLE


@dataclass(frozen=True)
class LatencySummary:
    """Durations of the requests, from the call to the decoded message, without the user's code.

    Attributes:
        num_requests: the answered requests.
        p50_milliseconds, p99_milliseconds: quantiles; None when there was no request.
    """

    num_requests: int
    p50_milliseconds: float | None
    p99_milliseconds: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> LatencySummary:
        """Summarises the durations of the requests, in seconds."""
        if not seconds:
            return cls(0, None, None)
        p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
        return cls(len(seconds), float(p50), float(p99))

    def __str__(self) -> str:
        requests = f"{self.num_requests} request{'' if self.num_requests == 1 else 's'}"
        if self.p50_milliseconds is None:
            return requests
        return f"{requests}, latency p50 {self.p50_milliseconds:.1f} ms, p99 {self.p99_milliseconds:.1f} ms"


class ModelClient:
    """One model on one server, over gRPC; a context manager that closes the connection.

    Arguments:
        address, port: where the server listens.
        model_name: the model.
        signature_name: the signature that each request asks for; '' for `serving_default`.
        output_names: those of its outputs that are wanted; empty: all.
        timeout_seconds: how long a request may take.
        max_message_bytes: the largest message, both directions.
        start_command: what starts such a server, for messages.
    """

    def __init__(self, *, address: str, port: int, model_name: str, signature_name: str, timeout_seconds: float,
                 max_message_bytes: int, start_command: str, output_names: Sequence[str] = ()) -> None:
        import grpc

        from expman.wire.service_stubs import model_service_pb2_grpc, prediction_service_pb2_grpc

        self._endpoint = endpoint(address, port)
        self._model_name = model_name
        self._signature_name = signature_name
        self._output_names = tuple(output_names)
        self._timeout_seconds = timeout_seconds
        self._remedy = (f"Start one by `{start_command}`, say by --port where one runs, or correct "
                        "tensorflow_server_address and tensorflow_server_port in the settings file.")
        self._channel = grpc.insecure_channel(self._endpoint, options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # A server that is just starting is asked often; the default backs off up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # A company's web proxy, set in the environment, knows no model server, least of all on loopback.
            ("grpc.enable_http_proxy", 0),
        ])
        self._prediction_service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model_service = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def __enter__(self) -> ModelClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def wait_until_ready(self, wait_seconds: float) -> None:
        """Returns as soon as the server can be reached and has a version of the model available; tells when that takes long.

        Raises:
            ClientError: not so within `wait_seconds`; or the server cannot tell the state of a model.
        """
        started = time.monotonic()
        is_told = False
        obstacle = self._obstacle(min(wait_seconds, _SILENT_SECONDS))
        while obstacle is not None and (remaining_seconds := started + wait_seconds - time.monotonic()) > 0:
            if not is_told and time.monotonic() - started >= _SILENT_SECONDS:
                is_told = True
                _LOGGER.warning("waiting up to %g s for model '%s' on a server at %s (%s). %s", wait_seconds, self._model_name,
                                self._endpoint, obstacle, self._remedy)
            time.sleep(min(_STATUS_POLL_SECONDS, remaining_seconds))
            # Asked in a hurry at the very end, a server that does answer would look like none.
            obstacle = self._obstacle(max(remaining_seconds if is_told else _SILENT_SECONDS, _SHORTEST_STATUS_TIMEOUT_SECONDS))
        if obstacle is not None:
            raise ClientError(f"no server at {self._endpoint} had model '{self._model_name}' ready within {wait_seconds:g} s "
                              f"({obstacle}). {self._remedy}")

    def ask_for(self, heads: Sequence[str] | str) -> None:
        """Replaces the signature: some outputs by their names, or all those of the signature of that name."""
        is_signature = isinstance(heads, str)
        self._signature_name = heads if is_signature else _ALL_OUTPUTS
        self._output_names = () if is_signature else tuple(heads)

    def predict(self, inputs: Mapping[str, np.ndarray]) -> PredictResponse:
        """Sends one request.

        Arguments:
            inputs: input name -> array.

        Raises:
            ClientError: it was refused, failed or took too long; one line with the status code and the reason.
            ValueError: an array's dtype has no counterpart in a tensor.
        """
        import grpc

        from expman.wire.protos import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = self._signature_name
        request.output_filter.extend(self._output_names)
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tensor_codec.to_tensor_proto(values, typed_fields=False))
        try:
            return self._prediction_service.Predict(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ClientError(
                    f"DEADLINE_EXCEEDED: no answer within {self._timeout_seconds:g} s. Raise "
                    "serving_client_timeout_int_secs in the settings file if the model needs longer.") from error
            raise ClientError(f"{error.code().name}: {_one_line(error.details())}") from error

    def _obstacle(self, timeout_seconds: float) -> str | None:
        """Returns why the model is not ready yet; None when it is.

        Raises:
            ClientError: waiting is of no use.
        """
        import grpc

        from expman.wire.protos import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model_name
        try:
            response = self._model_service.GetModelStatus(request, timeout=timeout_seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return "nothing answers there"
            reason = f"{error.code().name}: {_one_line(error.details())}"
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                return reason
            raise ClientError(f"the server at {self._endpoint} is no model server for '{self._model_name}': "
                              f"{reason}") from error
        statuses = response.model_version_status
        if any(status.state == _AVAILABLE for status in statuses):
            return None
        errors = [status.status.error_message for status in statuses if status.status.error_message]
        return _one_line("; ".join(errors) or "no version is available yet")


def run_experiment_client(settings: Settings, *, model_dir: Path, model_name: str, port: int, num_requests: int,
                          debug: bool) -> LatencySummary:
    """Asks a server of an experiment's model, with what its settings say.

    Arguments:
        settings: the experiment.
        model_dir: its folder, which `Client_IO` is told.
        model_name: the model on the server.
        port: where the server listens.
        num_requests, debug: see `run_client`.

    Raises:
        UserCodeError, ClientError: see `run_client`.
    """
    return run_client(
        client_io_class=settings.functions["Client_IO"],
        client_init_specs={"model_dir": str(model_dir), "hparams": dict(settings.hparams)}, model_name=model_name,
        signature_name=settings.served_head,
        # An output that is named as the signature of all outputs has no signature of its own.
        output_names=[_ALL_OUTPUTS] if settings.served_head == _ALL_OUTPUTS else [], input_name=settings.input_data_name,
        address=settings.tensorflow_server_address, port=port, wait_seconds=settings.wait_for_server_ready_int_secs,
        timeout_seconds=settings.serving_client_timeout_int_secs, max_message_bytes=settings.grpc_max_message_length,
        num_requests=num_requests, debug=debug, start_command=start_command(model_dir))


def run_client(*, client_io_class: type, client_init_specs: dict[str, Any], model_name: str, signature_name: str,
               input_name: str, address: str, port: int, wait_seconds: float, timeout_seconds: float,
               max_message_bytes: int, num_requests: int, debug: bool, start_command: str,
               output_names: Sequence[str] = ()) -> LatencySummary:
    """Asks a server what the user's Client_IO provides and hands it the answers; prints the latency at the end.

    Arguments:
        client_io_class: the settings file's `Client_IO`.
        client_init_specs, debug: passed to its `__init__`, if declared, as `clientInitSpecs` and `debugMode`.
        model_name, address, port: whom to ask.
        signature_name, output_names: what to ask for, see `ModelClient`, unless `Client_IO` has `served_heads`.
        input_name: names the input when `getInputData` returns an array; a dict brings its own names.
        wait_seconds: how long the server may take to be ready.
        timeout_seconds: how long a request may take.
        max_message_bytes: the largest message, both directions.
        num_requests: negative: until `StopIteration`, which ends the requests in any case.
        start_command: what starts such a server, for messages.

    Raises:
        UserCodeError: Client_IO lacks a method, raised, or returned no arrays.
        ClientError: the server is not ready in time, or refused or failed a request.
    """
    check_client_io(client_io_class)
    with ModelClient(address=address, port=port, model_name=model_name, signature_name=signature_name,
                     timeout_seconds=timeout_seconds, max_message_bytes=max_message_bytes,
                     start_command=start_command, output_names=output_names) as client:
        client.wait_until_ready(wait_seconds)
        with opened_client_io(client_io_class, client_init_specs=client_init_specs, debug=debug) as client_io:
            if (heads := client_io.served_heads) is not None:
                client.ask_for(heads)
            latencies_seconds = _run_requests(client, client_io, input_name=input_name, num_requests=num_requests)
    summary = LatencySummary.of(latencies_seconds)
    print(summary, flush=True)
    return summary


def _run_requests(client: ModelClient, client_io: ClientIO, *, input_name: str, num_requests: int) -> Sequence[float]:
    """Asks until the number is reached or the user's code ends it; returns the seconds that each request took."""
    latencies_seconds = array("d")
    index = 1
    while num_requests < 0 or index <= num_requests:
        try:
            data = client_io.input_data(index)
            inputs = data if isinstance(data, dict) else {input_name: data}
            response, latency_seconds = _timed_request(client, inputs, index=index)
            latencies_seconds.append(latency_seconds)
            client_io.decode_response(response)
        except StopIteration:
            break
        index += 1
    return latencies_seconds


def _timed_request(client: ModelClient, inputs: Mapping[str, np.ndarray], *,
                   index: int) -> tuple[PredictResponse, float]:
    """Sends a request; returns the answer and the seconds that it took, and names the request in its errors."""
    started = time.perf_counter()
    try:
        response = client.predict(inputs)
    except ClientError as error:
        raise ClientError(f"request {index}: {error}") from error
    except ValueError as error:
        raise UserCodeError(f"Client_IO.getInputData({index}) returned what cannot be sent: {error}") from error
    return response, time.perf_counter() - started


def _one_line(text: str | None) -> str:
    return " ".join((text or "no details").split())
