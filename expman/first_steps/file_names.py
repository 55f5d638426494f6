"""Refuses names of files that cannot be written into a settings file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from expman.errors import UsageError


def check_decodable(option: str, paths: Iterable[Path]) -> None:
    """Checks that names are text, which Linux does not ask for.

    Raises:
        UsageError: one holds bytes that are no UTF-8; the message shows their numbers.
    """
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(path).decode("utf-8", errors="backslashreplace")
            raise UsageError(f"{option} {shown}: the name holds bytes that are no UTF-8, so that no settings file can name it. "
                             "Rename the file or folder.") from error
