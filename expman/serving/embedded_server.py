"""The model server that lives in this process: a store of models behind gRPC and REST."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expman.errors import ServingError
from expman.runtimes.predictor import Predictor
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.batching.batched_predictor import BatchedPredictor
from expman.serving.batching.batching_parameters import read_batching_parameters
from expman.serving.grpc_api.credentials import server_credentials
from expman.serving.grpc_api.grpc_server import GrpcOptions, GrpcServer
from expman.serving.inference.inference import Inference
from expman.serving.inference.warm_up_replay import replay
from expman.serving.models.config_file_watcher import ConfigFileWatcher
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.model_store import ModelStore, ServedVersion
from expman.serving.models.warmup import warm_up
from expman.serving.observers.observer_loading import ObserverContext, make_observer
from expman.serving.observers.observers import Observers
from expman.serving.rest_api.rest_server import RestServer
from expman.serving.server_options import ServerOptions

_PARAMETERS_OF_A_MODEL = "batching_params.pbtxt"


@dataclass(frozen=True)
class Endpoints:
    """The places where a server listens; None and '' where it does not."""

    grpc_port: int | None
    rest_port: int | None
    grpc_socket_path: str = ""


class EmbeddedServer:
    """Answers the protocol of TensorFlow Serving.

    Arguments:
        options: what, where and how.

    Raises:
        ServingError: the TLS configuration is wrong.

    Example:
        server = EmbeddedServer(ServerOptions(models=[ModelConfig(name="digits", base_path=folder)]))
        server.start()
        ...
        server.stop()
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._store = ModelStore(
            load=self._predictor, warm_up=self._warm_up if options.warms_up else None, poll_seconds=options.poll_seconds,
            num_load_threads=options.num_load_threads, max_num_load_retries=options.max_load_retries,
            load_retry_interval_seconds=options.load_retry_seconds, traffic_rule=options.traffic_rule)
        self._observers = Observers()
        inference = Inference(self._store, observers=self._observers, typed_fields=options.typed_fields,
                              checks_method_name=options.checks_method_name, can_reload=not options.shares_port)
        self._observer_context = ObserverContext(inference=inference, models=options.models, worker_number=options.worker_number)
        self._grpc = self._grpc_server(inference)
        self._rest = None if options.rest_port is None else self._rest_server(inference)
        self._config_watcher: ConfigFileWatcher | None = None

    def start(self) -> Endpoints:
        """Loads the models, then opens the ports, so that whoever can connect gets an answer.

        Raises:
            ServingError: a port cannot be had, an observer cannot be made, or a model has no version that can be loaded.
        """
        options = self._options
        if self._grpc is not None:
            self._grpc.check_port()
        if self._rest is not None:
            self._rest.check_port()
        try:
            self._add_observers()
            self._store.start(options.models)
        except BaseException:
            self._observers.close()
            raise
        try:
            grpc_port = None if self._grpc is None else self._grpc.start()
            rest_port = None if self._rest is None else self._rest.start()
        except ServingError:
            self.stop()
            raise
        if options.model_config_file is not None and options.model_config_poll_seconds:
            self._config_watcher = ConfigFileWatcher(options.model_config_file, store=self._store,
                                                     poll_seconds=options.model_config_poll_seconds)
            self._config_watcher.start()
        return Endpoints(grpc_port, rest_port, options.grpc_socket_path)

    def served_versions(self) -> dict[str, list[int]]:
        """Returns model -> its versions that answer now."""
        return self._store.available_versions()

    def stop(self) -> None:
        """Refuses new requests, waits for the running ones, and unloads the models."""
        self.drain()
        self.close()

    def drain(self, *, force: Callable[[], bool] = lambda: False) -> bool:
        """Refuses new requests and waits for the running ones, up to a minute.

        Arguments:
            force: asked now and then; once True, the requests that still run are cancelled.

        Returns:
            False when it was forced.
        """
        was_forced = threading.Event()

        def is_now_forced() -> bool:
            if force():
                was_forced.set()
            return was_forced.is_set()

        # Together, so that one does not wait for the other before it refuses.
        servers = [server for server in (self._grpc, self._rest) if server is not None]
        threads = [threading.Thread(target=server.drain, kwargs={"force": is_now_forced}) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return not was_forced.is_set()

    def close(self) -> None:
        """Unloads the models and closes the observers, after `drain`."""
        if self._config_watcher is not None:
            self._config_watcher.stop()
        self._store.close()
        self._observers.close()

    def _add_observers(self) -> None:
        options = self._options
        if options.prometheus_path:
            from expman.serving.observers.request_metrics import RequestMetrics

            self._observers.add(RequestMetrics(path=options.prometheus_path, folder=options.metrics_folder,
                                               worker_number=options.worker_number))
        for factory in options.observers:
            self._observers.add(make_observer(factory, self._observer_context))

    def _grpc_server(self, inference: Inference) -> GrpcServer | None:
        options = self._options
        if options.grpc_port is None and not options.grpc_socket_path:
            return None
        return GrpcServer(inference, GrpcOptions(
            address=options.address, port=options.grpc_port, socket_path=options.grpc_socket_path,
            num_threads=options.grpc_threads,
            # Classify and its like wait in their threads to be joined.
            num_short_threads=None if options.batching is None and not options.batching_per_model else options.grpc_threads,
            arguments=options.grpc_arguments, shares_port=options.shares_port,
            credentials=None if options.ssl_config_file is None else server_credentials(options.ssl_config_file),
            has_health_service=options.has_health_service))

    def _rest_server(self, inference: Inference) -> RestServer:
        options = self._options
        return RestServer(
            inference=inference, store=self._store, address=options.address, port=options.rest_port,
            timeout_seconds=options.rest_timeout_seconds, max_body_bytes=options.rest_max_body_bytes,
            num_threads=options.rest_threads, enable_cors=options.rest_allows_cors,
            pages=self._observers.pages, shares_port=options.shares_port)

    def _predictor(self, version_folder: Path, _: ModelConfig) -> Predictor:
        options = self._options
        parameters = options.batching
        file = version_folder / _PARAMETERS_OF_A_MODEL
        if options.batching_per_model:
            parameters = read_batching_parameters(file) if file.exists() else None
        predictor = SavedModelPredictor(version_folder, options=options.session, tag=options.saved_model_tag)
        return predictor if parameters is None else BatchedPredictor(predictor, parameters)

    def _warm_up(self, served: ServedVersion, version_folder: Path) -> None:
        for _ in range(self._options.warm_up_iterations):
            warm_up(version_folder, answer=lambda log: replay(served, log))
