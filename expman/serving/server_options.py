"""The options of the embedded server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from expman.runtimes.session import SessionOptions
from expman.serving.traffic.named_or_newest import named_or_newest

if TYPE_CHECKING:
    from expman.serving.batching.batching_parameters import BatchingParameters
    from expman.serving.models.model_config import ModelConfig
    from expman.serving.observers.observer_loading import ObserverFactory
    from expman.serving.traffic.traffic_rule import TrafficRule

_DEFAULT_NUM_THREADS = 4 * (os.cpu_count() or 1)
_MOST_THREADS_FOR_BATCHING = 64


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the embedded server: models, places, limits. The defaults are those of `tensorflow_model_server`.

    Attributes:
        models: what to serve.
        model_config_file: where `models` come from; None: from elsewhere.
        model_config_poll_seconds: time between two looks at that file; 0: it is read once.
        address: where to listen: 127.0.0.1 (this machine only), 0.0.0.0 (all its addresses) …
        grpc_port, rest_port: 0 takes a free one; None listens on none.
        grpc_socket_path: a Unix socket for gRPC; '' for none.
        grpc_threads, rest_threads: requests that are answered at the same time; others wait.
        grpc_arguments: gRPC's own channel arguments, such as `grpc.max_receive_message_length` in bytes.
        ssl_config_file: TLS for gRPC; None without.
        has_health_service: answer gRPC health checks.
        rest_timeout_seconds: how long a REST request may take.
        rest_max_body_bytes: the largest REST request.
        rest_allows_cors: let web pages of other origins use the REST API.
        prometheus_path: where the REST port tells its metrics; '' nowhere.
        batching: join requests; None runs each by itself.
        batching_per_model: models bring their own batching parameters.
        session: where and how models run.
        saved_model_tag: which graph of a SavedModel to load.
        typed_fields: answer Predict in `float_val` and its like; False for `tensor_content`.
        checks_method_name: see `Inference`.
        poll_seconds: time between two looks for new versions; 0: one look only.
        num_load_threads: versions that are loaded at the same time.
        max_load_retries, load_retry_seconds: how often and when a version that could not be loaded is tried again.
        warms_up: replay the requests that a version brings before it serves.
        warm_up_iterations: how often each.
        traffic_rule: makes of a model's configuration the rule that chooses the version which answers a request.
        shares_port: other processes listen on the same ports.
        metrics_folder: where these keep their counters; None: one of this server's own.
        worker_number: which of these processes it is, from 0.
        observers: what is told of every request to run a model: see `make_observer`.
    """

    models: Sequence[ModelConfig]
    model_config_file: Path | None = None
    model_config_poll_seconds: float = 0
    address: str = "0.0.0.0"
    grpc_port: int | None = 8500
    rest_port: int | None = None
    grpc_socket_path: str = ""
    grpc_threads: int = _DEFAULT_NUM_THREADS
    rest_threads: int = _DEFAULT_NUM_THREADS
    grpc_arguments: Mapping[str, int | str] = field(default_factory=dict)
    ssl_config_file: Path | None = None
    has_health_service: bool = True
    rest_timeout_seconds: float = 30.0
    rest_max_body_bytes: int = 2**30
    rest_allows_cors: bool = False
    prometheus_path: str = ""
    batching: BatchingParameters | None = None
    batching_per_model: bool = False
    session: SessionOptions = field(default_factory=SessionOptions)
    saved_model_tag: str = "serve"
    typed_fields: bool = True
    checks_method_name: bool = False
    poll_seconds: float = 1.0
    num_load_threads: int = 2
    max_load_retries: int = 5
    load_retry_seconds: float = 60.0
    warms_up: bool = True
    warm_up_iterations: int = 1
    traffic_rule: Callable[[ModelConfig], TrafficRule] = named_or_newest
    shares_port: bool = False
    metrics_folder: Path | None = None
    worker_number: int = 0
    observers: Sequence[str | ObserverFactory] = ()


def num_threads(wanted: int = _DEFAULT_NUM_THREADS, *, batching: BatchingParameters | None) -> int:
    """Returns how many requests must be answered at the same time.

    Requests hold a thread while they wait for their batch (not those of Predict over gRPC): there must be enough for one
    batch that runs and one that fills.
    """
    return wanted if batching is None else max(wanted, min(2 * batching.max_batch_size, _MOST_THREADS_FOR_BATCHING))
