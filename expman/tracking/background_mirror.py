"""Mirrors an experiment into MLflow beside its training, which waits for the server only at its end, and never fails for it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from expman.records.experiment_folder import ExperimentFolder
from expman.tracking.mlflow_mirror import MlflowMirror
from expman.tracking.tracking_server import TrackingServer, brief

_LOGGER = logging.getLogger(__name__)
_SECONDS_WITHOUT_NOTICE = 3.0


@contextlib.contextmanager
def mirrored(folder: ExperimentFolder, *, server: TrackingServer) -> Iterator[Callable[[], None]]:
    """Gives a function that asks for what is new to be sent, and sends the rest when the training is over.

    Arguments:
        folder: of the experiment that is trained in the context.
        server: without a name nothing is mirrored, and the function does nothing.
    """
    if not server.is_named:
        yield lambda: None
        return
    mirror = BackgroundMirror(folder, server=server)
    mirror.start()
    try:
        yield mirror.request
    finally:
        mirror.finish()


def end_run_of_dead_process(folder: ExperimentFolder) -> None:
    """Lets the run of a trial end whose process could not do that itself; nothing for one that is not mirrored.

    Arguments:
        folder: of the trial; its files tell how it ended.
    """
    if folder.mirror_file.exists() and folder.identity_file.exists():
        server = TrackingServer(folder.read_identity()["settings"]["tracking_uri"])
        if server.is_named:
            BackgroundMirror(folder, server=server).sync(is_over=True)


class BackgroundMirror:
    """A thread that sends what is new.

    An outage is told once; what is missing goes with the first evaluation after it.

    Arguments:
        folder: of the experiment.
        server: a named one.
    """

    def __init__(self, folder: ExperimentFolder, *, server: TrackingServer) -> None:
        self._folder = folder
        self._server = server
        self._mirror = MlflowMirror(folder, server=server)
        self._wanted = threading.Event()
        self._is_over = False
        self._is_out = False
        self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)

    def start(self) -> None:
        """Starts to mirror, beside the training."""
        self._thread.start()
        self.request()

    def request(self) -> None:
        """Lets the thread send what is new; returns at once."""
        self._wanted.set()

    def finish(self) -> None:
        """Lets the thread send the rest and end the run; waits for it."""
        self._is_over = True
        self.request()
        self._thread.join(_SECONDS_WITHOUT_NOTICE)
        if self._thread.is_alive():
            _LOGGER.info("The rest is being sent to the MLflow server %s; Ctrl-C leaves it for later: %s",
                         self._server.public_uri, self._command())
            self._thread.join()

    def _work(self) -> None:
        is_over = False
        while not is_over:
            self._wanted.wait()
            self._wanted.clear()
            is_over = self._is_over
            self.sync(is_over=is_over)

    def sync(self, *, is_over: bool) -> None:
        """Sends what is new; tells of an outage instead of raising."""
        try:
            self._mirror.sync(is_over=is_over)
        except Exception as error:  # a boundary: whatever happens to the mirror, the training goes on
            self._tell_outage(error, is_over=is_over)
            self._is_out = True
        else:
            if self._is_out:
                _LOGGER.info("The MLflow server answers again, and has been sent all that it lacked.")
            self._is_out = False

    def _tell_outage(self, error: Exception, *, is_over: bool) -> None:
        _LOGGER.debug("This is what the mirror met.", exc_info=error)
        lacking = f"It lacks the metrics after step {self._mirror.sent_step} and the versions exported since"
        if is_over:
            _LOGGER.warning("The MLflow server %s was not told of the end of the training (%s). %s. When it answers again, "
                            "send that by: %s", self._server.public_uri, brief(error), lacking, self._command())
        elif not self._is_out:
            _LOGGER.warning("The MLflow server %s does not take what it is sent (%s). Training goes on. %s: that is sent "
                            "after the next epoch at which it answers, or later by: %s", self._server.public_uri,
                            brief(error), lacking, self._command())

    def _command(self) -> str:
        return f"python -m expman.tracking {self._folder.path}"
