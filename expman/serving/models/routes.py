"""Which version answers a request, at one moment; never changed, only replaced, so that requests need no lock to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from expman.serving.models.served_version import ServedVersion


@dataclass(frozen=True, slots=True)
class Routes:
    """The versions of one model that answer.

    Attributes:
        latest: the greatest of them; None when there is none.
        by_number: all of them.
        by_label: those that a label points to.
    """

    latest: ServedVersion | None = None
    by_number: Mapping[int, ServedVersion] = field(default_factory=dict)
    by_label: Mapping[str, ServedVersion] = field(default_factory=dict)

    def replaced(self, serving: Mapping[int, ServedVersion], labels: Mapping[str, int]) -> Routes:
        """The routes that come next.

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
