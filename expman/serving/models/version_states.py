"""The state of a model's versions: where each stands, and which of them answer requests."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from expman.serving.models.served_version import ServedVersion
from expman.wire.status import Code


class VersionState(enum.IntEnum):
    """The life of a version; names and numbers are those of TensorFlow Serving's ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version.

    Attributes:
        error: why it could not be loaded (state END); '' otherwise.
        error_code: the kind of that error.
    """

    version: int
    state: VersionState
    error: str = ""
    error_code: Code = Code.OK


@dataclass(frozen=True, slots=True)
class Routes:
    """The versions of one model that answer at one moment; never changed, only replaced, so that requests need no lock.

    Attributes:
        newest: the greatest of them; None when there is none.
        by_number: each of them by its number.
        by_label: those that a label points to.
    """

    newest: ServedVersion | None = None
    by_number: Mapping[int, ServedVersion] = field(default_factory=dict)
    by_label: Mapping[str, ServedVersion] = field(default_factory=dict)

    def replaced(self, serving: Mapping[int, ServedVersion], labels: Mapping[str, int]) -> Routes:
        """Returns the routes that come next.

        A label moves to its version when that serves. Until then it stays where it is, if that still serves.

        Arguments:
            serving: number -> version.
            labels: label -> number, as configured.
        """
        by_label = {}
        for label, number in labels.items():
            served = serving.get(number)
            if served is None and label in self.by_label:
                served = serving.get(self.by_label[label].number)
            if served is not None:
                by_label[label] = served
        return Routes(serving[max(serving)] if serving else None, dict(serving), by_label)
