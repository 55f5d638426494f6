"""The exceptions that reach the user: each message names the place, the value and the remedy.

Whatever derives from `ExperimentError` is shown without a traceback, since it speaks of the user's own input;
any other exception is a bug of this project and keeps its traceback.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass


class ExperimentError(Exception):
    """Base of all errors whose message alone tells the user what to do.

    Attributes:
        exit_code: int, what the script returns to the shell.
    """

    exit_code = 1


class UsageError(ExperimentError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One error in a user's file.

    Attributes:
        place: `file` or `file:line`.
        text: what is wrong, what was expected, what was found, and the remedy.
    """

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class SettingsError(ExperimentError):
    """One or several errors in a settings or model file, reported all at once.

    Attributes:
        problems: the list of `Problem`, in the order of the file.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UserCodeError(ExperimentError):
    """A function or class of the user's files breaks the contract."""


class UserExceptionError(UserCodeError):
    """An exception of the user's own code, with his part of the traceback."""


class ExperimentFolderError(ExperimentError):
    """A folder is not an experiment, or lacks the file that a command needs."""


class TrainingError(ExperimentError):
    """Training cannot start or go on, for a reason that lies in the data, the model or the machine."""


class TrainingStoppedError(ExperimentError):
    """Training was asked to stop by a signal; it can be restarted.

    Attributes:
        exit_code: 128 plus the signal's number, as shells have it.
    """

    def __init__(self, received: signal.Signals) -> None:
        self.exit_code = 128 + received
        super().__init__(f"Training was stopped by {received.name}.")


class SweepError(ExperimentError):
    """A sweep cannot start or go on."""


class TrackingError(UsageError):
    """Experiments cannot be mirrored into the MLflow server that is named."""


class ExportError(ExperimentError):
    """An exported model did not answer as the model in memory does, or could not be written."""


class CheckError(ExperimentError):
    """A dry run found that the experiment does not do what it should, although nothing raised."""


class ServingError(ExperimentError):
    """The model server could not be started."""


class ClientError(ExperimentError):
    """The server could not be reached, or refused or failed a request."""
