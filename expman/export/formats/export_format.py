"""Declares what a format must do, and finds a format by its name."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from expman.errors import ExportError
from expman.installation import install_command

if TYPE_CHECKING:
    from expman.export.served_model import ServedModel

Answers = Mapping[str, Mapping[str, np.ndarray]]
"""Signature → output → array."""

_ROOM = __name__.rpartition(".")[0]


class ExportFormat(ABC):
    """Writes versions of one kind, and answers with a written version.

    Version numbers, the comparison with the model in memory, warm-up requests and the removal of old versions are the
    publisher's part, whatever the format.

    Attributes:
        required_modules: importable names that the format needs and that the project itself does not.
        extra: the project's extra that installs them, e.g. 'optimise'; '' when none does.
        relative_tolerance: by how much an answer may differ from that of the model in memory, relative to the largest value
            of the output.
    """

    required_modules: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    relative_tolerance: ClassVar[float] = 1e-4

    @abstractmethod
    def write(self, served: ServedModel, folder: Path) -> None:
        """Writes a version.

        Arguments:
            served: the model in memory: `named_signatures` to convert, `inputs_spec` and `outputs_of_signatures` to describe.
                It may stand on a SavedModel that was loaded, rather than on a network.
            folder: of the version; not there yet.

        Raises:
            ExportError: the model cannot be written in this format; the message says what stands against it.
        """

    @abstractmethod
    def answer(self, folder: Path, inputs: Mapping[str, np.ndarray]) -> Answers:
        """Loads a written version anew, shares nothing with the model in memory, and asks all its signatures.

        Arguments:
            folder: of the version.
            inputs: name → array.

        Raises:
            StatusError, ServingError, tf.errors.OpError: it cannot be loaded or asked.
            TypeError: an output is of a type that no answer can carry.
        """

    def check_installed(self) -> None:
        """Raises ExportError with the line that installs what the format needs, where that is missing."""
        missing = [name for name in self.required_modules if importlib.util.find_spec(name) is None]
        if missing:
            remedy = install_command(self.extra) if self.extra else f"pip install {' '.join(missing)}"
            raise ExportError(f"The format '{_name_of(self)}' needs {', '.join(missing)}, not installed here. Run `{remedy}`.")


def export_format(name: str) -> ExportFormat:
    """Returns the format of a name.

    Raises:
        ExportError: there is none, or what it needs is not installed.
    """
    names = format_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ExportError(f"'{name}' is no export format.{hint} Known: {', '.join(names)}.")
    found: ExportFormat = importlib.import_module(f"{_ROOM}.{name}").FORMAT
    found.check_installed()
    return found


def format_names() -> list[str]:
    """Returns the names of all formats: those of the room's files, but for this one."""
    room = importlib.import_module(_ROOM)
    own_name = __name__.rpartition(".")[2]
    return sorted(module.name for module in pkgutil.iter_modules(room.__path__) if module.name != own_name)


def _name_of(found: ExportFormat) -> str:
    return type(found).__module__.rpartition(".")[2]
