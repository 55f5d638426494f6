"""The flags of `python -m expman.serving`: those of `tensorflow_model_server`, and a few more."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from expman.errors import ServingError

_LOGGER = logging.getLogger(__name__)

_THREADS = 4 * (os.cpu_count() or 1)


def _boolean(text: str) -> bool:
    if text.lower() in ("", "true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError("must be true or false")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError("must be a whole number") from error


def _not_negative(text: str) -> int:
    if (number := _whole(text)) < 0:
        raise ValueError("must be 0 or more")
    return number


def _positive(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise ValueError("must be above 0")
    return number


def _port(text: str) -> int:
    if not 0 <= (number := _whole(text)) <= 65535:
        raise ValueError("must be a port from 0 to 65535")
    return number


def _when(text: str) -> str:
    if text not in ("auto", "true", "false"):
        raise ValueError("must be auto, true or false")
    return text


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ValueError("must be a number from 0 to 1") from error
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1")
    return number


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        default: its value when it is not given.
        read: makes a value of text; raises ValueError with what is expected.
        meaning: one line of help.
        is_ignored: known to `tensorflow_model_server`, without meaning here.
        is_own: not known to `tensorflow_model_server`.
    """

    name: str
    default: Any
    read: Callable[[str], Any]
    meaning: str
    is_ignored: bool = False
    is_own: bool = False


def _ignored(name: str, why: str) -> Flag:
    return Flag(name, None, str, why, is_ignored=True)


FLAGS = (
    Flag("port", 8500, _port, "port for gRPC; 0 for none"),
    Flag("grpc_socket_path", "", str, "Unix socket for gRPC"),
    Flag("rest_api_port", 0, _port, "port for REST; 0 for none"),
    Flag("rest_api_num_threads", _THREADS, _positive, "REST requests that run at the same time"),
    Flag("rest_api_timeout_in_ms", 30000, _positive, "how long a REST request may take"),
    Flag("rest_api_enable_cors_support", False, _boolean, "let web pages of other origins use REST"),
    Flag("model_name", "default", str, "name of the model at --model_base_path"),
    Flag("model_base_path", "", str, "folder of the model's versions 1, 2, 3 …"),
    Flag("model_config_file", "", str, "ModelServerConfig as text: several models, version policies, labels"),
    Flag("model_config_file_poll_wait_seconds", 0, _not_negative, "time between two looks at that file; 0 reads it once"),
    Flag("file_system_poll_wait_seconds", 1, _not_negative, "time between two looks for new versions; 0 looks once"),
    Flag("num_load_threads", 0, _not_negative, "versions that are loaded at the same time"),
    Flag("max_num_load_retries", 5, _not_negative, "how often a version that could not be loaded is tried again"),
    Flag("load_retry_interval_micros", 60_000_000, _whole, "time between two such tries"),
    Flag("enable_model_warmup", True, _boolean, "replay assets.extra/tf_serving_warmup_requests before a version serves"),
    Flag("num_request_iterations_for_warmup", 0, _not_negative, "how often each of them"),
    Flag("saved_model_tags", "serve", str, "the tag of the graph to load"),
    Flag("enable_batching", False, _boolean, "join requests that arrive together into one run of the model"),
    Flag("batching_parameters_file", "", str, "BatchingParameters as text"),
    Flag("enable_per_model_batching_parameters", False, _boolean, "take them from each version's batching_params.pbtxt"),
    Flag("ssl_config_file", "", str, "SSLConfig as text: TLS for gRPC"),
    Flag("grpc_channel_arguments", "", str, "gRPC's own, such as grpc.max_connection_age_ms=2000, separated by commas"),
    Flag("grpc_max_threads", _THREADS, _positive, "gRPC requests that run at the same time"),
    Flag("enable_grpc_healthcheck_service", False, _boolean, "answer gRPC health checks"),
    Flag("monitoring_config_file", "", str, "MonitoringConfig as text: Prometheus metrics on the REST port"),
    Flag("tensorflow_session_parallelism", 0, _not_negative, "threads of a session; 0: chosen here"),
    Flag("tensorflow_intra_op_parallelism", 0, _not_negative, "threads that one operation may use; 0: one a core"),
    Flag("tensorflow_inter_op_parallelism", 0, _not_negative, "operations that run at the same time; 0: chosen here"),
    Flag("tensorflow_session_config_file", "", str, "tensorflow.ConfigProto as text, over which the flags go"),
    Flag("per_process_gpu_memory_fraction", 0.0, _fraction, "of each GPU's memory; 0: as it is needed"),
    Flag("xla_cpu_compilation_enabled", False, _boolean, "compile the operations of models together (XLA)"),
    Flag("xla_gpu_compilation_enabled", False, _boolean, "the same"),
    Flag("enable_signature_method_name_check", False, _boolean, "refuse Classify and Regress on signatures not made for them"),
    Flag("enable_serialization_as_tensor_content", False, _boolean, "answer Predict in tensor_content"),
    Flag("version", False, _boolean, "print the version and end"),
    Flag("address", "0.0.0.0", str, "where to listen; 127.0.0.1 for this machine only", is_own=True),
    Flag("use_gpu", "auto", _when, "run on GPUs: auto (where there are any), true (warn where there is none), false",
         is_own=True),
    Flag("num_workers", 1, _positive, "processes that share the ports", is_own=True),
    Flag("is_worker", False, _boolean, "started by --num_workers: shares the ports, ends with standard input", is_own=True),
    Flag("worker_number", 0, _not_negative, "which of these it is", is_own=True),
    Flag("observers", "", str, "told of every request: package.module:function, separated by commas", is_own=True),
    Flag("rest_api_max_body_bytes", 2**30, _positive, "the largest REST request", is_own=True),
    _ignored("allow_version_labels_for_unavailable_models", "labels always wait for their version"),
    _ignored("num_unload_threads", "versions are unloaded by the request that left them last"),
    _ignored("flush_filesystem_caches", "caches are left to the operating system"),
    _ignored("remove_unused_fields_from_bundle_metagraph", "the graph's description is never kept"),
    _ignored("use_alts_credentials", "ALTS works on Google's cloud only; use --ssl_config_file"),
    _ignored("platform_config_file", "there is one platform, TensorFlow"),
    _ignored("prefer_tflite_model", "TensorFlow Lite models are not served"),
    _ignored("num_tflite_pools", "TensorFlow Lite models are not served"),
    _ignored("num_tflite_interpreters_per_pool", "TensorFlow Lite models are not served"),
    _ignored("enable_profiler", "there is no profiler service"),
    _ignored("thread_pool_factory_config_file", "thread pools are TensorFlow's own"),
    _ignored("mixed_precision", "a model computes in the precision that it was exported with"),
    _ignored("skip_initialize_tpu", "TPUs are not used"),
)
_FLAG_OF_NAME = {flag.name: flag for flag in FLAGS}


def parse_flags(arguments: Sequence[str]) -> dict[str, Any]:
    """Reads `--flag=value`; a switch may stand without a value.

    Returns:
        flag -> value, of all flags that have a meaning here.

    Raises:
        ServingError: flags are unknown or have impossible values; tells all of them.
    """
    values = {flag.name: flag.default for flag in FLAGS if not flag.is_ignored}
    errors = []
    for argument in arguments:
        name, _, text = argument.lstrip("-").partition("=")
        flag = _FLAG_OF_NAME.get(name) if argument.startswith("-") else None
        if flag is None:
            errors.append(f"unknown argument: {argument}{_did_you_mean(name)}")
        elif flag.is_ignored:
            _LOGGER.warning("--%s has no meaning here: %s", name, flag.meaning)
        elif "=" not in argument and flag.read is not _boolean:
            errors.append(f"--{name} needs a value: --{name}=…")
        else:
            try:
                values[name] = flag.read(text)
            except ValueError as error:
                errors.append(f"--{name} {error}. Got '{text}'.")
    if errors:
        raise ServingError("\n".join(errors))
    return values


def flag_arguments(values: Iterable[tuple[str, Any]]) -> list[str]:
    """Returns a command line of values, without those that are the deerrors anyway."""
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in values if value != _FLAG_OF_NAME[name].default]


def flags_help() -> str:
    """Returns the help: each flag with its meaning and default."""
    lines = ["usage: python -m expman.serving --model_name=NAME --model_base_path=FOLDER [--flag=value …]", "",
             "Serves SavedModels by the protocol of TensorFlow Serving, whose flags it takes:", ""]
    width = max(len(flag.name) for flag in FLAGS)
    for title, flags in (
            ("", [flag for flag in FLAGS if not flag.is_ignored and not flag.is_own]),
            ("not of tensorflow_model_server:", [flag for flag in FLAGS if flag.is_own]),
            ("accepted without effect:", [flag for flag in FLAGS if flag.is_ignored])):
        lines += [title] if title else []
        lines += [f"  --{flag.name:<{width}}  {flag.meaning}" + ("" if flag.is_ignored or flag.default == "" else
                                                                f" [{str(flag.default).lower()}]") for flag in flags]
    return "\n".join(lines)


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, _FLAG_OF_NAME, n=1)
    return f". Did you mean --{close[0]}?" if close else ""
