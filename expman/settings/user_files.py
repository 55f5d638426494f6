"""The files that the user's modules read from their own folders: noticed, kept in the experiment's folder and found again."""

from __future__ import annotations

import contextlib
import filecmp
import functools
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from expman.errors import Problem, SettingsError
from expman.settings.library_reads import noticed_library_reads
from expman.settings.user_traceback import is_user_file

_LOGGER = logging.getLogger(__name__)
_LARGEST_NOTICED_FILE_BYTES = 100 * 2**20  # what is larger is kept only if the user names it
_CODE_SUFFIXES = {".py", ".pyc"}  # kept as modules
_NOTICES_READS: ContextVar[bool] = ContextVar("notices_reads", default=False)
_READ_FILES: dict[Path, None] = {}  # of the process, as `sys.modules` is: a module that stays imported reads its files once


@contextlib.contextmanager
def noticed_reads() -> Iterator[None]:
    """Notices the files that Python's `open`, h5py and TensorFlow open for reading; other C libraries open theirs unseen."""
    if _NOTICES_READS.get():
        yield
        return
    _watch_opening()
    token = _NOTICES_READS.set(True)
    try:
        with noticed_library_reads(_notice):
            yield
    finally:
        _NOTICES_READS.reset(token)


def _notice(path: str) -> None:
    if _NOTICES_READS.get():
        _READ_FILES[Path(os.path.abspath(path))] = None


@functools.cache  # a hook stays as long as the process
def _watch_opening() -> None:
    def notice(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not _NOTICES_READS.get():
            return
        path, _, flags = arguments
        if isinstance(path, (str, bytes, os.PathLike)) and flags & os.O_ACCMODE == os.O_RDONLY:
            _notice(os.fsdecode(path))

    sys.addaudithook(notice)


def read_files_below(roots: Iterable[Path], *, except_below: Iterable[Path], others: Iterable[Path] = ()) -> dict[str, Path]:
    """The noticed and some other files that lie below one of the folders: relative path → file.

    Hidden ones (`.env`, `.git`), code and installed packages are left out; so are large files, each with a warning.
    """
    excluded = [folder.resolve() for folder in except_below]
    files = {}
    for path in [*_READ_FILES, *others]:
        if (path.suffix in _CODE_SUFFIXES or not path.is_file() or not is_user_file(str(path))
                or any(path.resolve().is_relative_to(folder) for folder in excluded)):
            continue
        found = {str(path.relative_to(root)): path for root in roots if path.is_relative_to(root)}
        found = {name: file for name, file in found.items() if not any(part.startswith(".") for part in Path(name).parts)}
        if found and path.stat().st_size > _LARGEST_NOTICED_FILE_BYTES:
            _LOGGER.warning("%s is large and not copied into the experiment's folder: a restart needs it where it is. "
                            "To have it copied, name it in user_files.", path)
            continue
        files.update(found)
    return files


def named_files(names: Sequence[str], *, roots: Sequence[Path], place: str) -> dict[str, Path]:
    """The files of the setting `user_files`, and those in the folders that it names: relative path → file.

    Raises:
        SettingsError: one does not exist below any of the folders.
    """
    files: dict[str, Path] = {}
    problems = []
    for name in names:
        found = [path for root in roots if (path := Path(os.path.normpath(root / name))).exists()
                 and any(path.is_relative_to(folder) for folder in roots)]
        if not found:
            problems.append(Problem(place, f"user_files names '{name}', which does not exist beside or below the settings file "
                                           "or the model file. Correct it, or move the file there."))
            continue
        members = [file for file in found[0].rglob("*") if file.is_file()] if found[0].is_dir() else [found[0]]
        files.update({str(file.relative_to(root)): file for file in members for root in roots if file.is_relative_to(root)})
    if problems:
        raise SettingsError(problems)
    return files


def keep_files(files: Mapping[str, Path], *, folder: Path) -> None:
    """Copies files to their relative paths in a folder."""
    copies: dict[Path, Path] = {}
    for relative_path, file in files.items():
        target = folder / relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if file not in copies or not _try_link(copies[file], target):
            shutil.copyfile(file, target)
        copies[file] = target


def _try_link(file: Path, target: Path) -> bool:
    """Links a file; False where the file system has no links."""
    try:
        os.link(file, target)
    except OSError:
        return False
    return True


def shown_file(original: Path, *, kept: Mapping[str, str], folder: Path) -> Path:
    """Returns what `__file__` says in a copy of the user's file, such that he finds the files beside it.

    Arguments:
        original: the file that was copied.
        kept: the files that were kept: relative path → original.
        folder: where they were kept.

    Returns:
        The original, or where it would be beside the kept files when one of those is missing at its original place.
    """
    missing = _missing_below(original.parent, kept)
    if not missing:
        return original
    _LOGGER.warning("%s does not exist any more: the copy in %s is used, and __file__ of %s says that folder.",
                    missing[0], folder, original.name)
    return folder / original.name


def shown_modules(roots: Iterable[Path], *, kept: Mapping[str, str], folder: Path) -> dict[Path, Path]:
    """Returns what `__file__` says in the copies of the modules that the user's files import: copy → original.

    What one of these modules finds by a path from its own place, such as data in a folder above, is found again as it was in
    the training. Copies say their own place where a file kept from beside the originals is missing.

    Arguments:
        roots: the folders of the settings and the model file, as they were.
        kept: the files that were kept: relative path → original.
        folder: where the modules and these files were kept.
    """
    every = list(dict.fromkeys(roots))
    whole = [root for root in every if not _missing_below(root, kept)]
    shown = {}
    for copy in folder.rglob("*.py"):
        originals = [root / copy.relative_to(folder) for root in whole]
        found = [original for original in originals if original.is_file() or len(every) == 1]
        if found:
            shown[copy.resolve()] = found[0]
    return shown


def _missing_below(root: Path, kept: Mapping[str, str]) -> list[Path]:
    return [file for file in map(Path, kept.values()) if file.is_relative_to(root) and not file.exists()]


def warn_of_changed_files(kept: Mapping[str, str], *, folder: Path) -> None:
    """Warns of each kept file that is not at its original place what it was when the experiment started."""
    for relative_path, original in sorted(kept.items()):
        copy = folder / relative_path
        if copy.is_file() and Path(original).is_file() and not filecmp.cmp(original, copy, shallow=False):
            _LOGGER.warning("%s has changed since the experiment started, and may be read instead of what it was then. "
                            "That is in %s.", original, copy)
