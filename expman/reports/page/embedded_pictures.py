"""Pictures that lie in a folder, as data URIs within a bound of bytes; those beyond it as links."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_FOLDERS = (".", "pictures")
_MOST_PICTURES = 24
_BASE64_GROWTH = 4 / 3


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        path: the file.
        title: from the file's name.
        data_uri: the picture itself; '' where it would make the page too large.
    """

    path: Path
    title: str
    data_uri: str


def find_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and in its folder `pictures`, by name."""
    return sorted(path for place in _FOLDERS if (folder / place).is_dir() for path in (folder / place).iterdir()
                  if path.suffix.lower() in _TYPES and path.is_file() and not path.name.startswith("."))


def embed_pictures(paths: Iterable[Path], *, most_bytes: int) -> list[Picture]:
    """Embeds pictures in their order as long as they fit.

    Arguments:
        paths: the files; one that cannot be read is only linked.
        most_bytes: of all of them together as they stand in the page.
    """
    pictures = []
    for path in list(paths)[:_MOST_PICTURES]:
        uri = _data_uri(path, most_bytes=most_bytes)
        most_bytes -= len(uri)
        pictures.append(Picture(path=path, title=path.stem.replace("_", " "), data_uri=uri))
    return pictures


def _data_uri(path: Path, *, most_bytes: int) -> str:
    try:
        if path.stat().st_size * _BASE64_GROWTH > most_bytes:
            return ""
        return f"data:{_TYPES[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    except OSError:
        return ""
