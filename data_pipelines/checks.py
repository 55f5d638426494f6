"""Checks of the arguments that the pipelines share; each error names the argument, its value and what is expected."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable

from data_pipelines.clutter import without_clutter


def file_list(files: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The paths as a list of str, without what systems and tools leave among data (see `without_clutter`).

    Raises:
        ValueError: there is none, or one path was given instead of a list.
        FileNotFoundError: some do not exist; the message lists them.
    """
    if isinstance(files, (str, os.PathLike)):
        raise ValueError(f"files must be a list of paths. Got the single path {os.fspath(files)!r}. Write [path].")
    return existing_files(without_clutter(files))


def existing_files(paths: list[str]) -> list[str]:
    """The paths, checked.

    Raises:
        ValueError: there is none.
        FileNotFoundError: some do not exist; the message lists them.
    """
    if not paths:
        raise ValueError("files is empty. extractFilenames(root_dir, file_extension) lists the files of a folder.")
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise FileNotFoundError(f"{len(missing)} of {len(paths)} files do not exist: {shown}.")
    return paths


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError when a value is no number or is too small."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not value >= least:
        raise ValueError(f"{name} must be {'' if is_number else 'a number of '}at least {least}. Got {value!r}.")


def whole_number(name: str, value: int, least: int) -> None:
    """Raises ValueError when a value is no whole number or is too small."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}. Got {value!r}.")


def one_of(name: str, value: object, choices: Iterable[object]) -> None:
    """Raises ValueError when a value is none of the choices."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Got {value!r}.")
