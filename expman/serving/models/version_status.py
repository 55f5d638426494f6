"""Where a version of a model stands."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
    """Where one version stands.

    Attributes:
        error: why it could not be loaded (state END); '' otherwise.
        error_code: the kind of that fault.
    """

    version: int
    state: VersionState
    error: str = ""
    error_code: Code = Code.OK
