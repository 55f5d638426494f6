"""Makes the links of a report to files and folders."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path


def relative_link(target: Path, page: Path) -> str:
    """Returns a link from a page to a file or folder that still holds when both are moved together."""
    relative = os.path.relpath(target.resolve(), page.resolve().parent)
    return urllib.parse.quote(relative.encode("utf-8", "surrogateescape")) + ("/" if target.is_dir() else "")
