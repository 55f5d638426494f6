"""Lists the data files of a folder."""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from data_pipelines.clutter import is_clutter, is_hidden

_ONE_SPELLING = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
_LOG = logging.getLogger(__name__)


def extractFilenames(root_dir: str | os.PathLike[str],  # noqa: N802  (users' interface)
                     file_extension: str | Sequence[str] = "*.jpg", raiseOnEmpty: bool = True) -> list[str]:
    """Lists the files of a folder and of all folders below it, sorted by path, so that every machine gets one order.

    Hidden files and folders, and what systems and tools leave among data (`.ipynb_checkpoints`, `__MACOSX`, `._0.jpg`,
    `Thumbs.db` …), are left out. A warning counts files that fit but for the spelling of their extension: `0.JPG` and
    `1.jpeg` beside `*.jpg`.

    Arguments:
        root_dir: the folder; links to folders are followed once.
        file_extension: a pattern of shell wildcards for the file's name, e.g. `'*.jpg'`, `'*_labels.png'`, or a list of such;
            a plain extension (`'.jpg'`, `'jpg'`) is taken for `'*.jpg'`. Case matters. A pattern that starts with a dot and has
            wildcards finds hidden files, too.
        raiseOnEmpty: whether finding nothing is an error.

    Returns:
        The paths, each starting with `root_dir`.

    Raises:
        ValueError: a pattern is empty.
        FileNotFoundError: the folder does not exist, or `raiseOnEmpty` and no file fits.
    """
    root = os.fspath(root_dir)
    if not os.path.isdir(root):
        raise FileNotFoundError(f"the folder {root!r} does not exist. Correct raw_data_dir_train or raw_data_dir_val.")
    patterns = patterns_of(file_extension)
    files = [(folder, name) for folder, _, names in visible_folders(root) for name in names]
    paths = [os.path.join(folder, name) for folder, name in files if _fits(name, patterns)]
    notice = other_spellings([name for _, name in files], file_extension)
    if not paths and raiseOnEmpty:
        raise FileNotFoundError(f"no file in {root!r} or below it fits {_shown(patterns)}. "
                                f"{notice or 'Correct the folder or the pattern.'}")
    if notice:
        _LOG.warning("%s: %s", root, notice)
    return sorted(paths)


def patterns_of(file_extension: str | Sequence[str]) -> list[str]:
    """The patterns that stand for extensions, patterns, or a list of these.

    Raises:
        ValueError: one is empty.
    """
    given = [file_extension] if isinstance(file_extension, str) else list(file_extension)
    if not given or not all(given):
        raise ValueError(f"file_extension must be a pattern such as '*.jpg'. Got {file_extension!r}. '*' stands for all files.")
    return [pattern if any(wildcard in pattern for wildcard in "*?[") else f"*.{pattern.lstrip('.')}" for pattern in given]


def visible_folders(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, names of its subfolders, names of its files) of a folder and all below it, as `os.walk`, each folder once,
    without hidden folders and clutter.
    """
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        # where links lead to one folder twice, the first in the order of names counts on every machine
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()  # a link leads back
            continue
        visited.add(real)
        yield folder, subfolders, [name for name in names if not is_clutter(name)]


def other_spellings(names: Iterable[str], file_extension: str | Sequence[str]) -> str:
    """A sentence on the files that fit the patterns but for the spelling of their extension; '' where there are none."""
    patterns = patterns_of(file_extension)
    loose = [_in_one_spelling(pattern) for pattern in patterns]
    left_out = [name for name in names if not _fits(name, patterns) and not is_hidden(name)
                and any(fnmatch.fnmatchcase(_in_one_spelling(name), pattern) for pattern in loose)]
    if not left_out:
        return ""
    extensions = {os.path.splitext(name)[1] for name in left_out}
    needed = sorted({os.path.splitext(pattern)[0] + extension for pattern in patterns for extension in extensions})
    return (f"{len(left_out)} files, such as {min(left_out)!r}, do not fit {_shown(patterns)} only by the spelling of their "
            f"extension, and are left out. To have them, give the list of patterns {[*patterns, *needed]}; else ignore this.")


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) and (not is_hidden(name) or pattern.startswith("."))
               for pattern in patterns)


def _in_one_spelling(name: str) -> str:
    stem, extension = os.path.splitext(name.lower())
    return stem + _ONE_SPELLING.get(extension, extension)


def _shown(patterns: Sequence[str]) -> str:
    return " or ".join(map(repr, patterns))
