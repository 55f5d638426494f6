"""Turns the flags of the embedded server, and the files that they name, into its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expman.errors import ServingError
from expman.runtimes.session import SessionOptions
from expman.serving.batching.batching_parameters import BatchingParameters, read_batching_parameters
from expman.serving.config_files import MonitoringConfigMessage, read_text_message
from expman.serving.models.model_config import ModelConfig, read_model_configs
from expman.serving.observers.metrics_folder import inherited_metrics_folder
from expman.serving.server_options import ServerOptions, num_threads
from expman.wire.protos import config_pb2

_DEFAULT_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


def server_options(flags: Mapping[str, Any]) -> ServerOptions:
    """Reads all files that the flags name.

    Arguments:
        flags: as `parse_flags` returns them.

    Raises:
        ServingError: a flag needs another, or a file cannot be read or is wrong.
    """
    _check_ports(flags)
    config_file = _path(flags["model_config_file"])
    batching = _batching(flags)
    return ServerOptions(
        models=_models(flags), model_config_file=config_file,
        model_config_poll_seconds=flags["model_config_file_poll_wait_seconds"],
        address=flags["address"], grpc_port=flags["port"] or None, rest_port=flags["rest_api_port"] or None,
        grpc_socket_path=flags["grpc_socket_path"], grpc_threads=num_threads(flags["grpc_max_threads"], batching=batching),
        rest_threads=num_threads(flags["rest_api_num_threads"], batching=batching),
        grpc_arguments=_channel_arguments(flags["grpc_channel_arguments"]),
        ssl_config_file=_path(flags["ssl_config_file"]), has_health_service=flags["enable_grpc_healthcheck_service"],
        rest_timeout_seconds=flags["rest_api_timeout_in_ms"] / 1000, rest_max_body_bytes=flags["rest_api_max_body_bytes"],
        rest_allows_cors=flags["rest_api_enable_cors_support"],
        prometheus_path=_prometheus_path(flags["monitoring_config_file"]), batching=batching,
        batching_per_model=flags["enable_batching"] and flags["enable_per_model_batching_parameters"],
        session=_session(flags), saved_model_tag=flags["saved_model_tags"],
        typed_fields=not flags["enable_serialization_as_tensor_content"],
        checks_method_name=flags["enable_signature_method_name_check"], poll_seconds=flags["file_system_poll_wait_seconds"],
        num_load_threads=flags["num_load_threads"] or 2, max_load_retries=flags["max_num_load_retries"],
        load_retry_seconds=max(0.0, flags["load_retry_interval_micros"] / 1e6), warms_up=flags["enable_model_warmup"],
        warm_up_iterations=max(1, flags["num_request_iterations_for_warmup"]), shares_port=flags["is_worker"],
        metrics_folder=inherited_metrics_folder() if flags["is_worker"] else None, worker_number=flags["worker_number"],
        observers=tuple(name.strip() for name in flags["observers"].split(",") if name.strip()))


def _check_ports(flags: Mapping[str, Any]) -> None:
    if not (flags["port"] or flags["rest_api_port"] or flags["grpc_socket_path"]):
        raise ServingError("nothing to listen on: give --port, --rest_api_port or --grpc_socket_path.")
    if flags["port"] and flags["port"] == flags["rest_api_port"]:
        raise ServingError("--rest_api_port cannot be the same as --port. Give it another one.")
    if flags["monitoring_config_file"] and not flags["rest_api_port"]:
        raise ServingError("--monitoring_config_file needs --rest_api_port: metrics are told there.")


def _models(flags: Mapping[str, Any]) -> list[ModelConfig]:
    if flags["model_config_file"]:
        return read_model_configs(flags["model_config_file"])
    if not flags["model_base_path"]:
        raise ServingError("Both server_options.model_base_path and server_options.model_config_file are empty! "
                           "Give --model_base_path=FOLDER or --model_config_file=FILE.")
    return [ModelConfig(name=flags["model_name"], base_path=Path(flags["model_base_path"]).resolve())]


def _batching(flags: Mapping[str, Any]) -> BatchingParameters | None:
    if not flags["enable_batching"]:
        if flags["batching_parameters_file"]:
            raise ServingError("server_options.batching_parameters_file is set without setting "
                               "server_options.enable_batching to true.")
        return None
    if flags["batching_parameters_file"]:
        return read_batching_parameters(flags["batching_parameters_file"])
    return BatchingParameters()


def _session(flags: Mapping[str, Any]) -> SessionOptions:
    parallelism = flags["tensorflow_session_parallelism"]
    inter_op_threads = flags["tensorflow_inter_op_parallelism"] or parallelism
    base_config = b""
    if flags["tensorflow_session_config_file"]:
        base_config = read_text_message(flags["tensorflow_session_config_file"], config_pb2.ConfigProto,
                                        described_as="tensorflow.ConfigProto").SerializeToString()
    return SessionOptions(
        on_gpu=flags["use_gpu"] != "false", expects_gpu=flags["use_gpu"] == "true",
        gpu_memory_fraction=flags["per_process_gpu_memory_fraction"],
        intra_op_threads=flags["tensorflow_intra_op_parallelism"] or parallelism,
        **({"inter_op_threads": inter_op_threads} if inter_op_threads else {}),
        uses_xla=flags["xla_cpu_compilation_enabled"] or flags["xla_gpu_compilation_enabled"], base_config=base_config)


def _prometheus_path(file: str) -> str:
    if not file:
        return ""
    config = read_text_message(file, MonitoringConfigMessage, described_as="tensorflow.serving.MonitoringConfig")
    if not config.prometheus_config.enable:
        return ""
    path = config.prometheus_config.path or _DEFAULT_PROMETHEUS_PATH
    if not path.startswith("/"):
        raise ServingError(f"{file}: prometheus_config.path must begin with '/'. Got '{path}'.")
    return path


def _channel_arguments(text: str) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise ServingError(f"--grpc_channel_arguments must be name=value, separated by commas. Got '{part}'.")
        arguments[name] = int(value) if value.lstrip("-").isdecimal() else value
    return arguments


def _path(text: str) -> Path | None:
    return Path(text) if text else None
