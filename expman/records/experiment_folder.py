"""Names, creates, reads and writes the files of an experiment's folder; no other module knows their names."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.errors import ExperimentFolderError
from expman.records import identity_format

_LOGGER = logging.getLogger(__name__)
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._=-]+")
_LOCK_ATTEMPTS = 5
_SECONDS_BETWEEN_LOCK_ATTEMPTS = 0.02
_LONGEST_DATA_NAME = 120
_TIMESTAMP_FORMAT = "%Y-%m-%d--%H-%M-%S"


class ExperimentFolder:
    """One experiment on disk.

    Arguments:
        path: the folder; it need not exist, nothing is read or written here.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings_file = self.path / "experiment_settings.py"
        self.model_file = self.path / "experiment_model.py"
        self.user_modules = self.path / "user_modules"
        self.identity_file = self.path / "experiment.json"
        self.data_files = self.path / "data_files.csv"
        self.state_file = self.path / "state.json"
        self.trial_file = self.path / "trial.json"
        self.trial_log = self.path / "trial.log"
        self.metrics_file = self.path / "metrics.csv"
        self.mirror_file = self.path / "mlflow.json"
        self.model_variables_file = self.path / "model_variables.pkl"
        self.checkpoints = self.path / "checkpoints"
        self.exports = self.path / "export"
        self.servers = self.path / "servers"
        self.train_logs = self.path / "logs" / "train"
        self.validation_logs = self.path / "logs" / "validation"
        self.profile_logs = self.path / "logs" / "profile"
        self.profile_trace = self.profile_logs / "trace.json.gz"
        self.profile_report = self.profile_logs / "profile.txt"
        self.embeddings = self.path / "embeddings"
        self.report_page = self.path / "report.html"
        self.confusion_matrix = self.path / "confusion_matrix.csv"

    @classmethod
    def create(cls, *, working_folder: str | os.PathLike[str], session_name: str,
               hparams: Mapping[str, Any], now: datetime | None = None) -> ExperimentFolder:
        """Makes a new folder `<session_name>[_<hparam><value>…]_<YYYY-MM-DD--HH-MM-SS>` that no other run has.

        Raises:
            ExperimentFolderError: the parent folder cannot be written.
        """
        parent = Path(working_folder)
        stamp = (now or datetime.now()).strftime(_TIMESTAMP_FORMAT)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            longest_name = os.pathconf(parent, "PC_NAME_MAX")
            for attempt in range(1, 10_000):
                ending = f"_{stamp}" if attempt == 1 else f"_{stamp}_{attempt}"
                name = decorated_name(session_name, hparams)[: longest_name - len(ending)] + ending
                try:
                    (parent / name).mkdir()
                except FileExistsError:
                    continue
                return cls(parent / name)
        except OSError as error:
            raise ExperimentFolderError(
                f"workingFolder '{parent}' cannot be written ({error.strerror}). "
                "Make it writable, or set workingFolder to a folder that is.") from error
        raise ExperimentFolderError(f"workingFolder '{parent}' holds too many experiments named '{name}'.")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ExperimentFolder:
        """Opens an existing experiment.

        Raises:
            ExperimentFolderError: the folder does not exist or holds no experiment.
        """
        folder = cls(path)
        if not folder.path.is_dir():
            raise ExperimentFolderError(
                f"--model_dir '{path}' is not a folder. Give the folder of an experiment, "
                "as printed when its training started.")
        if not (folder.identity_file.is_file() and folder.settings_file.is_file()):
            experiments = [entry.parent for entry in sorted((
                *folder.path.glob(f"*/{folder.identity_file.name}"), *folder.path.glob(f"experiments/*/{folder.identity_file.name}")))]
            hint = f" Did you mean '{experiments[-1]}'?" if experiments else ""
            raise ExperimentFolderError(
                f"--model_dir '{path}' holds no experiment: it has no {folder.identity_file.name} and "
                f"{folder.settings_file.name}.{hint}")
        return folder

    def read_identity(self) -> dict[str, Any]:
        """Returns the identity of the experiment, which is written once, when training starts.

        What an older program did not write yet has its default.

        Raises:
            ExperimentFolderError: the file is missing or damaged, or of a newer format.
        """
        identity = identity_format.completed(read_json(self.identity_file), source=str(self.identity_file))
        if not isinstance(identity.get("settings"), Mapping):
            raise ExperimentFolderError(f"{self.identity_file} holds no settings. Restore it from a copy, or train anew.")
        return identity

    def write_identity(self, identity: Mapping[str, Any]) -> None:
        """Writes `experiment.json`, with the number of its format."""
        write_json(self.identity_file, identity_format.numbered(identity))

    def read_state(self) -> dict[str, Any]:
        """Returns how far the experiment is: status, epoch, step, best value …; {} before the first write."""
        return read_json(self.state_file) if self.state_file.exists() else {}

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Writes `state.json`."""
        write_json(self.state_file, state)

    def read_mirror(self) -> dict[str, Any]:
        """The run of MLflow that mirrors the experiment; {} when there is none."""
        return read_json(self.mirror_file) if self.mirror_file.exists() else {}

    def write_mirror(self, mirror: Mapping[str, Any]) -> None:
        """Writes what is known of the mirror of the experiment."""
        write_json(self.mirror_file, mirror)

    @contextlib.contextmanager
    def locked_for_training(self) -> Iterator[None]:
        """Keeps a second training out of the folder; the lock ends with the process, however that ends.

        Raises:
            ExperimentFolderError: another process trains here.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            _lock_patiently(descriptor)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ExperimentFolderError(f"{self.path} is being trained by another process. Wait for its end, or stop it "
                                        "by SIGTERM first.") from error
        except OSError as error:  # a file system without locks
            _LOGGER.warning("%s cannot be locked (%s): see to it that no other process trains there.", self.path, error)
        try:
            yield
        finally:
            os.close(descriptor)

    def is_being_trained(self) -> bool:
        """Returns True while a process holds the folder's lock; False where the file system has no locks."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return False

    def has_checkpoint(self) -> bool:
        """Returns True once training has completed a checkpoint."""
        return any(self.checkpoints.glob("step-*"))

    def evaluation_file(self, data_folder: str | None) -> Path:
        """Where an evaluation of the best weights is kept; each folder of data but that of the validation has its own."""
        return self.path / (f"evaluation_{shell_safe(data_folder)[-_LONGEST_DATA_NAME:]}.json" if data_folder
                            else "evaluation.json")

    def model_export_folder(self, model_name: str) -> Path:
        """The base path that a model server watches: it holds one folder a version, named 1, 2, 3 …."""
        return self.exports / model_name

    def exported_model(self) -> tuple[str, Path]:
        """The name and the base path of the model that can be served.

        Raises:
            ExperimentFolderError: nothing has been exported yet.
        """
        for base_path in sorted(self.exports.glob("*")):
            if base_path.is_dir() and exported_versions(base_path):
                return base_path.name, base_path
        raise ExperimentFolderError(
            f"'{self.path}' has no exported model yet. Training exports one after its first evaluation: "
            "wait for it, or go on with a training that ended early by "
            f"`--restart_interrupted --model_dir {self.path}`.")


def _lock_patiently(descriptor: int) -> None:
    """Locks a folder; who merely asks whether it is locked holds it for an instant.

    Raises:
        BlockingIOError: another process keeps it locked.
    """
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            is_kept = error
            time.sleep(_SECONDS_BETWEEN_LOCK_ATTEMPTS)
        else:
            return
    raise is_kept


def exported_versions(base_path: Path) -> list[int]:
    """The version numbers below a model's base path, ascending; [] when there is none."""
    if not base_path.is_dir():
        return []
    return sorted(int(entry.name) for entry in base_path.iterdir() if entry.name.isdecimal() and entry.is_dir())


def decorated_name(session_name: str, hparams: Mapping[str, Any]) -> str:
    """Joins the session's name and its hyperparameters, without any character that a shell must escape."""
    parts = [session_name, *(f"{name}{_joined(value)}" for name, value in hparams.items())]
    return shell_safe("_".join(parts))


def _joined(value: Any) -> str:
    """A value as text, the members of a list joined: 64-32."""
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def shell_safe(text: str) -> str:
    """Replaces each run of characters that a shell or a file system may treat specially by '-'."""
    without_plus = text.replace("+", "")  # 1e+20 is 1e20; TensorBoard loses runs with a plus in their name
    return _UNSAFE_CHARACTERS.sub("-", without_plus).lstrip("-.") or "experiment"


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ExperimentFolderError: the file is missing, unreadable or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExperimentFolderError(f"{path} cannot be read ({error}). Restore it from a copy, "
                                    "or train anew.") from error
    if not isinstance(content, dict):
        raise ExperimentFolderError(f"{path} must hold a JSON object. Got {type(content).__name__}.")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file that is old or new, never half."""
    write_atomically(path, json_text(content) + "\n")


def json_text(content: Any) -> str:
    """Returns indented JSON; NumPy's numbers become Python's."""
    return json.dumps(content, indent=2, ensure_ascii=False, default=_plain_number)


def _plain_number(value: Any) -> Any:
    """NumPy's scalars, which users compute settings with, as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be written as JSON")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes beside, flushes to the disk and renames, so that a reader or a crash never meets half a file."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def publish_folder(temporary: Path, final: Path) -> None:
    """Flushes all files of a complete folder to the disk and gives it its final name in one step."""
    for path in (*temporary.rglob("*"), temporary):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.rename(temporary, final)
