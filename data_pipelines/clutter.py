"""Tells what operating systems and tools leave in folders from data."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import PurePath

_NAMES = frozenset({".ds_store", ".fseventsd", ".git", ".ipynb_checkpoints", ".localized", ".spotlight-v100", ".trashes",
                    "$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db",
                    "system volume information", "thumbs.db"})
_PREFIXES = ("._", ".~lock.", ".fuse_hidden", ".nfs", "~$")  # ._0.jpg: what macOS adds to 0.jpg on other systems' disks
_NAMED_PATHS = 3
_LOG = logging.getLogger(__name__)


def is_clutter(name: str) -> bool:
    """Tells whether a file or folder of this name is known to hold no data: `.DS_Store`, `._0.jpg`, `.ipynb_checkpoints` …."""
    name = name.lower()
    return name in _NAMES or name.startswith(_PREFIXES)


def is_hidden(name: str) -> bool:
    """Tells whether a listing leaves a file or folder out: it is clutter, or its name starts with a dot."""
    return name.startswith(".") or is_clutter(name)


def without_clutter(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The paths as str, without those that are clutter or lie in a folder that is; a warning counts these."""
    everything = [os.fspath(path) for path in paths]
    kept = [path for path in everything if not any(map(is_clutter, PurePath(path).parts))]
    if len(kept) < len(everything):
        dropped = sorted(set(everything) - set(kept))
        _LOG.warning("%d of %d files are none of the data and are left out: %s%s.", len(dropped), len(everything),
                     ", ".join(dropped[:_NAMED_PATHS]), " …" if len(dropped) > _NAMED_PATHS else "")
    return kept
