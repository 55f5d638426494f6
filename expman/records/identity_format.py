"""The format of `experiment.json`: its number, and what takes the place of what an older program did not write yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expman.errors import ExperimentFolderError
from expman.settings.contract import default_settings

FORMAT = 1
"""To be raised when an older program would misread the folders that this one writes; not for a further setting or key."""

_NUMBER = "format"
_DEFAULTS: Mapping[str, Any] = {"hparams": {}, "hparam_overrides": {}, "user_files": {}, "data_statistics": [], "class_weights": {},
                                "git": None}


def numbered(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of an `experiment.json` under the number of today's format."""
    return {_NUMBER: FORMAT, **{name: value for name, value in identity.items() if name != _NUMBER}}


def completed(identity: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Returns the content of an `experiment.json` with defaults for what it lacks, settings among it.

    A file without a number is older than the numbers.

    Arguments:
        identity: as read.
        source: the file, for messages.

    Raises:
        ExperimentFolderError: it is of a newer format, or its number is none.
    """
    number = identity.get(_NUMBER, 0)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ExperimentFolderError(f"{source} must have a whole number as '{_NUMBER}'. Got {number!r}. Restore it from a copy.")
    if number > FORMAT:
        raise ExperimentFolderError(f"{source} has format {number}; this program reads formats up to {FORMAT}. Update the program, "
                                    "or use the one that wrote the experiment.")
    settings = identity.get("settings")
    with_settings = {"settings": {**default_settings(), **settings}} if isinstance(settings, Mapping) else {}
    missing = {name: value for name, value in _DEFAULTS.items() if name not in identity}
    return {**identity, **missing, **with_settings}
