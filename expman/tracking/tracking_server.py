"""Names the MLflow server that experiments are mirrored into, and checks that this can work; imports MLflow only then."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from expman.errors import TrackingError
from expman.installation import install_command

if TYPE_CHECKING:
    from mlflow import MlflowClient

_VARIABLE = "MLFLOW_TRACKING_URI"
_SERVERS = ("http", "https", "databricks")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_EXAMPLE = "http://127.0.0.1:5000"
_START = "`mlflow server --backend-store-uri sqlite:///mlflow.db`"

# Set where the user has not: the next evaluation repeats what failed, and MLflow's own repetitions would draw from Python's
# global random numbers, which are the experiment's.
_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
                "MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
                "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


class TrackingServer:
    """The MLflow server that a setting or the environment names; nothing is asked of it here.

    Arguments:
        setting: the value of `tracking_uri`; '': the environment variable MLFLOW_TRACKING_URI decides.

    Attributes:
        is_named: whether there is one; without, nothing is mirrored.
        public_uri: its address without user and password.

    Raises:
        TrackingError: the address cannot be one, or MLflow is not installed.
    """

    def __init__(self, setting: str = "") -> None:
        self._uri = setting.strip() or os.environ.get(_VARIABLE, "").strip()
        self.is_named = bool(self._uri)
        self.public_uri = _without_password(self._uri)
        self._origin = f"tracking_uri = '{self.public_uri}'"
        if not setting.strip():
            self._origin = f"The environment variable {_VARIABLE} = '{self.public_uri}'"
        if self.is_named:
            self._check_address()
            if importlib.util.find_spec("mlflow") is None:
                raise TrackingError(f"{self._origin} needs MLflow, which is not installed. Run `{install_command('mlflow')}`, or "
                                    "take the address away.")

    def client(self) -> MlflowClient:
        """Returns a client of the server, without asking whether that answers."""
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def check(self, *, experiment_name: str) -> None:
        """Asks the server for an experiment, which need not exist.

        Raises:
            TrackingError: it does not answer, or would refuse runs of this experiment.
        """
        if not self.is_named:
            return
        try:
            found = self.client().get_experiment_by_name(experiment_name)
        except Exception as error:  # whatever MLflow, its web library or its database meets, it cannot be mirrored there
            raise TrackingError(f"{self._origin} does not answer as an MLflow server: {brief(error)}. Start it, e.g. by "
                                f"{_START}, correct the address, or take it away.") from error
        if found is not None and found.lifecycle_stage == "deleted":
            raise TrackingError(f"{self._origin}: its experiment '{experiment_name}' has been deleted and takes no runs. "
                                f"Restore it by `mlflow experiments restore --experiment-id {found.experiment_id}`, or set "
                                "another session_name.")

    def run_page(self, *, experiment_id: str, run_id: str) -> str:
        """Returns the address at which a browser shows a run; that of the server alone when it is a database."""
        if urlsplit(self._uri).scheme not in ("http", "https"):
            return self.public_uri
        return f"{self.public_uri.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"

    def _check_address(self) -> None:
        scheme = urlsplit(self._uri).scheme.partition("+")[0]
        if scheme in _SERVERS + _DATABASES:
            return
        if scheme in ("", "file") and ":" not in self._uri.removeprefix("file:"):
            raise TrackingError(f"{self._origin} is a folder, and MLflow no longer keeps runs in folders. Start a server, "
                                f"e.g. by {_START}, and give its address: {_EXAMPLE}.")
        raise TrackingError(f"{self._origin} must be the address of an MLflow server or database: it begins with one of "
                            f"{', '.join(f'{known}:' for known in _SERVERS + _DATABASES)} Write e.g. {_EXAMPLE}.")


def brief(error: BaseException) -> str:
    """The first line of an error, without the details that MLflow's web library adds."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    for reason in ("Connection refused", "Name or service not known", "timed out"):
        if reason in text:
            return reason.lower()
    return text.rstrip(".")[:300]


def _without_password(uri: str) -> Any:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
