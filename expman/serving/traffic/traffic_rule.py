"""The seam between a request and the version that answers it."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from expman.serving.models.served_version import ServedVersion
    from expman.serving.models.version_states import Routes


class TrafficRequest(NamedTuple):
    """The part of a request that a rule may choose by.

    Attributes:
        model: the model that it asks for.
        version: the version that it asks for; None: any.
        label: or the label.
        key: requests with the same key are to get the same version as long as it serves; '' where it does not matter.
    """

    model: str
    version: int | None = None
    label: str | None = None
    key: str = ""

    @property
    def is_bound(self) -> bool:
        """True when the request itself says which version is to answer."""
        return self.version is not None or self.label is not None


class TrafficRule(abc.ABC):
    """Chooses the version that answers, for the requests of one model.

    It is made anew whenever the model's configuration is replaced.
    """

    @abc.abstractmethod
    def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
        """Returns one of the versions of `routes`; None refuses the request with NOT_FOUND.

        It is called for each request, by many threads at the same time and in the one that reads the network: it neither waits
        nor reads files. It may be called again for the same request, with newer routes, when the version is just gone.
        """
