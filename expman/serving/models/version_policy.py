"""Policies that choose which of a model's versions on disk are served."""

from __future__ import annotations

import abc
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expman.errors import ServingError

if TYPE_CHECKING:
    from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig


class VersionPolicy(abc.ABC):
    """Chooses versions; `str()` of it says which, for messages."""

    @abc.abstractmethod
    def wanted(self, numbers: Collection[int]) -> set[int]:
        """Returns those of the given versions that are to be served."""

    def missing(self, numbers: Collection[int]) -> set[int]:
        """Returns the versions that are named by their number and are not among the given ones."""
        return set()


@dataclass(frozen=True)
class LatestVersions(VersionPolicy):
    """Chooses the newest ones.

    Attributes:
        num_versions: how many, side by side.
    """

    num_versions: int = 1

    def wanted(self, numbers: Collection[int]) -> set[int]:
        """Returns the greatest of the given versions."""
        return set(sorted(numbers)[-self.num_versions:])

    def __str__(self) -> str:
        return "the newest version" if self.num_versions == 1 else f"the newest {self.num_versions} versions"


@dataclass(frozen=True)
class AllVersions(VersionPolicy):
    """Chooses all versions there are."""

    def wanted(self, numbers: Collection[int]) -> set[int]:
        """Returns all given versions."""
        return set(numbers)

    def __str__(self) -> str:
        return "all versions"


@dataclass(frozen=True)
class SpecificVersions(VersionPolicy):
    """Chooses the versions that the configuration names.

    Attributes:
        versions: their numbers.
    """

    versions: frozenset[int]

    def wanted(self, numbers: Collection[int]) -> set[int]:
        """Returns those of the given versions that are named."""
        return self.versions & set(numbers)

    def missing(self, numbers: Collection[int]) -> set[int]:
        """Returns the versions that are named and are not among the given ones."""
        return self.versions - set(numbers)

    def __str__(self) -> str:
        return f"version{'s' if len(self.versions) > 1 else ''} {', '.join(map(str, sorted(self.versions)))}"


def version_policy(message: FileSystemStoragePathSourceConfig.ServableVersionPolicy) -> VersionPolicy:
    """Reads `model_version_policy` of a ModelConfig; one that says nothing wants the newest version.

    Raises:
        ServingError: it names no version.
    """
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return AllVersions()
    if choice == "specific":
        if not message.specific.versions:
            raise ServingError("its version policy `specific` names no version. Add `versions: 1`, or use `latest {}`.")
        return SpecificVersions(frozenset(message.specific.versions))
    # TensorFlow Serving takes 0, which is also what protobuf gives for a number left out, for 1.
    return LatestVersions(max(1, message.latest.num_versions))
